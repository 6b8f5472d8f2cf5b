_base_ = ['./gn.py']

model = dict(backbone=dict(norm_eval=False))
