"""Features of a finished model: what its last linear layer reads, of any rows."""


def features(folder, parts):
    """Return what the model's last layer makes of features, and features of shape `(rows, width)` with class ids for
    each labelled `datasets.Dataset` of `parts`."""
    from torch import nn

    from hf_transfer import load
    from hf_transfer.data import labels_of

    predictor = load(str(folder))
    model = predictor.model
    name, layer = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == model.config.num_labels
    ][-1]
    model.set_submodule(name, nn.Identity())
    model.config.num_labels = layer.in_features  # as wide as what now comes out
    weight, bias = (one.detach().cpu().numpy() for one in (layer.weight, layer.bias))
    found = [(predictor.logits(rows.remove_columns("label")), labels_of(rows)) for rows in parts]
    return (lambda rows: rows @ weight.T + bias), found
