r"""The cheapest form of the graph for which a model's logits stay the same.

Keep these invariants:

* The choice depends on the model, the graph and the draws of its trial, never on the clock, the
  device's load or the number of workers: the same run chooses the same form.
* A form is taken only if its logits match those on the graph as given, on every draw.
* The graph as given is always possible, and what ``dense=True`` asks for.
"""
