r"""Numbers of things in words."""


def numbered(number: float, things: str) -> str:
    r"""A number of things whose name is given in the plural: ``"1 entity"``, ``"2 pairs of
    nodes"``.
    """
    if number != 1:
        return f"{number} {things}"
    noun, of, rest = things.partition(" of ")
    one = f"{noun.removesuffix('ies')}y" if noun.endswith("ies") else noun.removesuffix("s")
    return f"1 {one}{of}{rest}"
