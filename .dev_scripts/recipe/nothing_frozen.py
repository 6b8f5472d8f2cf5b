_base_ = ['./gn.py']

model = dict(backbone=dict(frozen_stages=-1))
