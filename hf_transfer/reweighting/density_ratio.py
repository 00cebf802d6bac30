"""Importance weights by telling the domains apart."""

from dataclasses import dataclass

from ..errors import UserError
from .weights import Weights


@dataclass(frozen=True)
class DensityRatio:
    """A classifier learns which domain a row comes from; p(target | x) / p(source | x) * n_s / n_t is the ratio of the
    densities (Bickel, Brueckner & Scheffer 2009; Sugiyama, Suzuki & Kanamori 2012, section 4.3).

    Each source row is judged by a classifier that has not seen it, in five folds: one that has would call it source.

    Args:
        clip (`float`): the largest ratio, before they are scaled to mean 1.
        c (`float`): inverse strength of the L2 penalty of the logistic regression, on standardised features.
    """

    clip: float = 20.0
    c: float = 1.0
    weighs = True

    def __post_init__(self):
        for name in ("clip", "c"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"DensityRatio.{name} is {getattr(self, name)}; allowed: a number above 0")

    def fit(self, source, target, source_labels=None, target_labels=None) -> Weights:
        """Weigh source rows by how much they look like the target; labels are not read.

        Args:
            source (`np.ndarray` of shape `(n_source, width)`), target (`np.ndarray` of shape `(n_target, width)`):
                features from the same backbone.

        Returns:
            [`Weights`]: `about` holds `accuracy`, of telling the domains apart on rows left out, and `clipped`, how
            many rows are at the limit.

        Raises:
            `UserError`: features that do not fit each other, or fewer than two rows of a domain.
        """
        import numpy as np
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from .features import checked
        from .weights import normalised

        source, target = checked(source, target)
        least = min(len(source), len(target))
        if least < 2:
            raise UserError(f"a classifier of domains needs two rows of each; found {len(source)} and {len(target)}")
        domain = np.repeat([0, 1], [len(source), len(target)])
        folds = StratifiedKFold(min(5, least), shuffle=True, random_state=0)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=self.c, max_iter=1000))
        shares = cross_val_predict(model, np.concatenate([source, target]), domain, cv=folds, method="predict_proba")
        of_source = shares[: len(source)]
        ratio = of_source[:, 1] / np.maximum(of_source[:, 0], 1e-12) * (len(source) / len(target))
        accuracy = float((shares.argmax(1) == domain).mean())
        values = np.minimum(ratio, self.clip)
        return normalised(values, {"accuracy": accuracy, "clipped": int((ratio >= self.clip).sum())})
