_base_ = ['./gn.py']

optim_wrapper = dict(optimizer=dict(lr=6e-3))
