"""What a training learnt that a person can read: the weights of a mix."""


def learned_of(model) -> dict:
    """Return what results.json holds as `learned`; empty where nothing of the kind was learnt.

    Args:
        model (`nn.Module`): trained.

    Returns:
        `dict`: of a scalar mix of layers `layers`, their numbers, `layer_weights` (positive, with sum 1), and `gamma`;
            of a fused model with a learned one `alpha`, each part's weight by its name (with sum 1), and in `parts` by
            name what each of them learnt.
    """
    parts = {name: found for name, part in getattr(model, "parts", {}).items() if (found := learned_of(part))}
    return {**_mix(model), **_alpha(model), **({"parts": parts} if parts else {})}


def _mix(model) -> dict:
    from .hub.fusion_transfer import ScalarMix

    fusion = getattr(model, "fusion", None)
    mix = next((one for one in fusion.modules() if isinstance(one, ScalarMix)), None) if fusion is not None else None
    if mix is None:
        return {}
    return {
        "layers": list(model.config.fusion["layers"]),
        "layer_weights": [round(weight, 6) for weight in mix.weights.tolist()],
        "gamma": round(mix.gamma.item(), 6),
    }


def _alpha(model) -> dict:
    fusion = getattr(model, "fusion", None)
    if getattr(fusion, "logit", None) is None:
        return {}
    first, second = fusion.names
    alpha = float(fusion.alpha.detach())
    return {"alpha": {first: alpha, second: 1.0 - alpha}}


def learned_lines(learned: dict) -> list[str]:
    """Return them as lines for a screen: `alpha       0.6200 source, 0.3800 target`."""
    return [f"alpha       {shares(learned['alpha'])}"] if "alpha" in learned else []


def shares(alpha: dict) -> str:
    return ", ".join(f"{value:.4f} {name}" for name, value in alpha.items())
