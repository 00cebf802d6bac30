"""Several tasks in one model: how a recipe whose data is a `TaskMixture` is trained, measured and taken apart."""
