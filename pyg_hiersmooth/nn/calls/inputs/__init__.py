r"""The one door for what users hand over: graphs, lists, datasets and loaders, images, targets, and
what is done to them before the noise.

Each module brings one kind of thing into one form, or says in one sentence what is wrong with it
and what would do; certification, training, tuning and commands all come through here. Labels, which
need no model, are in :mod:`pyg_hiersmooth.datasets.labels`; how a model is called is in
:mod:`pyg_hiersmooth.nn.calls.model_call`.
"""
