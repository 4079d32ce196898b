r"""The single entry for user input: graphs, lists, datasets and loaders, images, targets, and what
is done to them before the noise.

Each module converts one kind of input into one form, or says in one sentence what is wrong with it
and what would work; certification, training, tuning and commands all come through here. Labels,
which need no model, are in :mod:`pyg_hiersmooth.datasets.labels`; how a model is called is in
:mod:`pyg_hiersmooth.nn.calls.model_call`.
"""
