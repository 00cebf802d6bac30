"""Learning-rate schedules that transformers does not have."""


def slanted_triangular(step: int, total: int, cut_frac: float = 0.1, ratio: float = 32.0) -> float:
    """Return the factor on the learning rate at `step` of `total`: a short rise, a long fall (Howard & Ruder 2018,
    equation 3).

    Args:
        cut_frac (`float`): share of the steps in which the rate rises.
        ratio (`float`): how much smaller the lowest rate is than the highest.
    """
    cut = max(1, int(total * cut_frac))
    rise = step / cut if step < cut else 1 - (step - cut) / max(1, total - cut)
    return (1 + max(rise, 0.0) * (ratio - 1)) / ratio
