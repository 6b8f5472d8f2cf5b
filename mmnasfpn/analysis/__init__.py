"""What a detector costs and how good it is: parameters, FLOPs, COCO's metrics."""
