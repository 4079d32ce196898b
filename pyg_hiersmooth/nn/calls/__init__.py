r"""How a model is called on noisy features: the one way for training and for certification.

Keep these invariants:

* A model gets the noisy features and the graph's structure, and nothing else that could depend on
  clean features, but what the user names in ``keep=``.
* A model is called by its signature. Where that leaves a choice, the call is refused, not guessed.
* Copies of an object side by side are separate objects, without an edge between them.
* The user's model and data are read, never written.
"""
