"""Detection in the user's own images, videos and cameras."""
from mmnasfpn.prediction.detector import Speed
from mmnasfpn.prediction.predictor import Prediction, Predictor, predict

__all__ = ['Prediction', 'Predictor', 'Speed', 'predict']
