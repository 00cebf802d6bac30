"""Flags from a recipe: what they are, how words become values, and what values do to a recipe."""

import dataclasses

import pytest

from hf_transfer import (
    AttentionHead,
    FrozenFeatures,
    ImageBackbone,
    ImageClassification,
    LayerFusion,
    LSTMHead,
    MLPHead,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
)
from hf_transfer.commands.running import RUN_FLAGS
from hf_transfer.flags import (
    REFUSED,
    Flag,
    apply_overrides,
    check_training,
    field_docs,
    parse_flags,
    recipe_flags,
    refusal,
    training_flags,
)
from hf_transfer.helptext import shown
from hf_transfer.recipe import NOUNS
from hf_transfer.recipe_files import list_recipes, load_recipe
from hf_transfer.training_fields import training_fields

RECIPE = Recipe(
    summary="a test",
    data=TextClassification(
        "hub/set",
        validation=0.2,
        test="validation",
        text="sentence",
        label="stars",
        problem_type="regression",
        train_split="all",
        sep="\t",
        header=False,
        encoding="cp1252",
        split_seed=5,
        drop_empty=True,
    ),
    backbone=TextBackbone("hub/checkpoint", revision="abc", max_length=64),
    head=LSTMHead(hidden_size=16),
    strategy=FrozenFeatures(),
    training={"learning_rate": 1e-3},
)


def parse(*words: str, recipe: Recipe = RECIPE) -> dict:
    return parse_flags(words, {**training_flags(recipe), **recipe_flags(recipe)}, recipe)


# ---------------------------------------------------------------------------------------------------------------------
# TrainingArguments


@pytest.fixture(scope="module")
def arguments_class():
    from transformers import TrainingArguments

    return TrainingArguments


def test_the_fields_read_from_the_source_are_those_of_the_class(arguments_class):
    expected = {field.name: field for field in dataclasses.fields(arguments_class)}
    found = training_fields()
    assert list(found) == list(expected)
    for name, field in expected.items():
        made = field.default_factory is not dataclasses.MISSING
        default = field.default_factory() if made else field.default
        assert found[name].default == default, name
        assert found[name].help == field.metadata.get("help", "").replace("%%", "%"), name


def test_the_choices_read_from_the_source_are_those_of_the_enumerations():
    from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType
    from transformers.training_args import OptimizerNames

    fields = training_fields()
    for name, enumeration in (
        ("lr_scheduler_type", SchedulerType),
        ("optim", OptimizerNames),
        ("eval_strategy", IntervalStrategy),
        ("save_strategy", SaveStrategy),
    ):
        assert set(fields[name].choices) == {member.value for member in enumeration}, name


def test_every_default_can_be_typed_back():
    typed = {name: flag for name, flag in training_flags().items() if flag.default not in ([], None)}
    assert len(typed) > 50
    for name, flag in typed.items():
        text = shown(flag.default).strip("'\"")
        assert flag.convert(text) == flag.default, name


def test_values_given_as_text_build_the_class(arguments_class, tmp_path):
    words = "--learning_rate 1e-4 --num_train_epochs 2 --warmup_steps 0.1 --max_steps -1 --optim sgd --seed 3"
    words += " --optim_args momentum=0.9 --report_to none --load_best_model_at_end false --full_determinism"
    values = parse(*words.split(), "--lr_scheduler_kwargs", '{"power": 2}', "--use_cpu")
    arguments = arguments_class(output_dir=str(tmp_path), **values)
    assert (arguments.learning_rate, arguments.num_train_epochs, arguments.warmup_steps) == (1e-4, 2, 0.1)
    assert arguments.optim == "sgd" and arguments.optim_args == "momentum=0.9"
    assert arguments.lr_scheduler_kwargs == {"power": 2}
    assert arguments.report_to == [] and arguments.full_determinism is True and arguments.max_steps == -1


def test_our_own_flags_collide_with_no_field_but_those_trainer_never_sees():
    ours = {"output_dir", "push_to_hub", "hub_model_id", "hub_private_repo"}
    assert set(RUN_FLAGS) & set(training_fields()) == ours and not ours & set(training_flags())


def test_refused_fields_exist_and_have_no_flag():
    assert set(REFUSED) <= set(training_fields())
    offered = training_flags()
    hub = [name for name in training_fields() if name.startswith("hub_")]
    assert hub and not [name for name in (*REFUSED, *hub, "output_dir") if name in offered]
    assert all(refusal(name) is None for name in offered)


# ---------------------------------------------------------------------------------------------------------------------
# Words to values


@pytest.mark.parametrize(
    ("types", "text", "value"),
    [
        (("int",), "12", 12),
        (("int", "None"), "none", None),
        (("float",), "5", 5.0),
        (("float",), "1e-4", 1e-4),
        (("bool",), "True", True),
        (("bool",), "false", False),
        (("str", "None"), "None", None),
        (("str",), "none", "none"),
        (("str", "None"), "0", "0"),
        (("str", "float", "None"), "0.1", 0.1),
        (("str", "float", "None"), "validation", "validation"),
        (("str", "float", "None"), "nan", "nan"),
        (("str", "tuple[str]", "None"), "toxic, rude", ("toxic", "rude")),
        (("str", "tuple[str]", "None"), "toxic", "toxic"),
        (("tuple[int]",), "1024,512", (1024, 512)),
        (("tuple[int]",), "64", (64,)),
        (("tuple[str]",), "", ()),
        (("None", "str", "list[str]"), "wandb,tensorboard", ["wandb", "tensorboard"]),
        (("dict", "str", "None"), '{"a": {"b": 1}}', {"a": {"b": 1}}),
        (("dict", "str", "None"), "settings.json", "settings.json"),
    ],
)
def test_text_becomes_the_value_of_its_type(types, text, value):
    found = Flag("x", types).convert(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("types", "text", "allowed"),
    [
        (("int",), "1.5", "an integer"),
        (("int",), "1_000", "an integer"),
        (("int", "None"), "many", "an integer, none"),
        (("float",), "inf", "a number"),
        (("bool",), "maybe", "true or false"),
        (("tuple[int]",), "64,x", "integers with commas between"),
        (("tuple[str]",), "a,,b", "names with commas between"),
        (("ParallelismConfig", "None"), "x", "none"),
    ],
)
def test_text_of_another_type_is_refused_with_what_is_allowed(types, text, allowed):
    with pytest.raises(UserError) as caught:
        Flag("x", types).convert(text)
    assert str(caught.value) == f"--x is {text!r}; allowed: {allowed}"


def test_a_fixed_list_is_named():
    with pytest.raises(UserError, match="--lr_scheduler_type is 'cosinus'; allowed: linear, cosine"):
        parse("--lr_scheduler_type", "cosinus")
    with pytest.raises(UserError, match="--lr_scheduler_kwargs is not JSON: .* at character 5"):
        parse("--lr_scheduler_kwargs", '{"a"')


def test_words_are_read_in_every_accepted_form():
    assert parse("--learning_rate=1e-4", "--data.text=a=b", "--max_steps", "-1") == {
        "learning_rate": 1e-4,
        "data.text": "a=b",
        "max_steps": -1,
    }
    assert parse("--bf16", "--tf32", "false", "--data.drop_empty") == {
        "bf16": True,
        "tf32": False,
        "data.drop_empty": True,
    }
    assert parse("--seed", "1", "--seed", "2") == {"seed": 2}
    assert parse("--fsdp", "--seed", "1") == {"fsdp": True, "seed": 1}
    assert parse("--data.sep", ",", "--backbone.add_tokens", "[A],[B]")["backbone.add_tokens"] == ("[A]", "[B]")
    assert parse("--report_to", "none") == {"report_to": "none"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--learning"], "unknown flag --learning; did you mean --learning_rate?"),
        (["--learning_rat", "1"], "unknown flag --learning_rat; did you mean --learning_rate?"),
        (["--learning-rate", "1"], "unknown flag --learning-rate; did you mean --learning_rate?"),
        (["--data.txt", "x"], "did you mean --data.text?"),
        (["--zzzzzzzz"], "unknown flag --zzzzzzzz"),
        (["--learning_rate"], "--learning_rate needs a value: a number"),
        (["--learning_rate", "--seed", "1"], "--learning_rate needs a value"),
        (["--seed", "1", "2"], "unexpected argument '2'"),
        (["-seed", "1"], "unexpected argument '-seed'"),
        (["--bf16", "maybe"], "unexpected argument 'maybe'"),
        (["--bf16=maybe"], "--bf16 is 'maybe'; allowed: true or false"),
        (["--push_to_hub"], "--push_to_hub cannot be set: nothing is pushed while training"),
        (["--hub_token", "secret"], "--hub_token cannot be set: nothing is pushed while training"),
        (["--resume_from_checkpoint", "x"], "--resume_from_checkpoint cannot be set: use --resume"),
        (["--do_train"], "--do_train cannot be set"),
        (["--remove_unused_columns", "false"], "--remove_unused_columns cannot be set"),
        (
            ["--head.hidden_sizes", "4"],
            "unknown flag --head.hidden_sizes; this recipe's head is a LSTMHead, with --head.hidden_size, ",
        ),
        (["--strategy.layer_decay", "0.9"], "this recipe's strategy is a FrozenFeatures, with no flags"),
    ],
)
def test_a_wrong_word_is_told_what_would_be_right(words, message):
    with pytest.raises(UserError) as caught:
        parse(*words)
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# The nouns' flags


def test_every_field_of_the_nouns_is_a_flag_with_the_recipes_value():
    flags = recipe_flags(RECIPE)
    expected = {
        f"{noun}.{field.name}": getattr(getattr(RECIPE, noun), field.name)
        for noun in NOUNS
        for field in dataclasses.fields(getattr(RECIPE, noun))
        if field.name != "fusion"  # a noun of its own, with flags of its own where there is one
    }
    assert {name: flag.default for name, flag in flags.items()} == expected


@pytest.mark.parametrize(
    "noun",
    [
        TextClassification,
        ImageClassification,
        TextBackbone,
        ImageBackbone,
        LSTMHead,
        MLPHead,
        AttentionHead,
        LayerFusion,
    ],
)
def test_every_field_of_a_noun_is_documented_for_the_help(noun):
    documented = {}
    for owner in reversed(noun.__mro__):  # a field is explained where it is declared
        documented |= field_docs(owner)
    assert list(documented) == [field.name for field in dataclasses.fields(noun)]
    assert all(text and "\n" not in text for text in documented.values())


def test_every_flag_of_every_recipe_can_be_typed():
    for name in list_recipes():
        for flag in recipe_flags(load_recipe(name)).values():
            assert flag.allowed, (name, flag.name)


# ---------------------------------------------------------------------------------------------------------------------
# Values to a recipe


def test_values_change_the_nouns_they_name_and_nothing_else():
    changed, training = apply_overrides(
        RECIPE, {"head.hidden_size": 32, "backbone.max_length": 16, "learning_rate": 1e-4, "max_steps": 2}
    )
    assert changed == dataclasses.replace(
        RECIPE,
        head=LSTMHead(hidden_size=32),
        backbone=TextBackbone("hub/checkpoint", revision="abc", max_length=16),
    )
    assert training == {"learning_rate": 1e-4, "max_steps": 2}
    assert RECIPE.head.hidden_size == 16


def test_a_new_train_set_takes_splits_columns_and_labels_back_to_automatic():
    changed, _ = apply_overrides(RECIPE, {"data.train": "reviews.csv"})
    # What speaks of the rows is reset; how they are cut and cleaned is the recipe's.
    assert changed.data == TextClassification("reviews.csv", split_seed=5, drop_empty=True)


def test_what_is_given_beside_a_new_train_set_stays():
    changed, _ = apply_overrides(RECIPE, {"data.text": "body", "data.train": "reviews.csv", "data.test": 0.3})
    assert changed.data == TextClassification("reviews.csv", text="body", test=0.3, split_seed=5, drop_empty=True)


def test_another_field_of_the_data_resets_nothing():
    changed, _ = apply_overrides(RECIPE, {"data.split_seed": 6})
    assert changed.data == dataclasses.replace(RECIPE.data, split_seed=6)


def test_a_new_checkpoint_drops_the_old_ones_revision():
    changed, _ = apply_overrides(RECIPE, {"backbone.checkpoint": "my/model"})
    assert changed.backbone == TextBackbone("my/model", max_length=64)
    changed, _ = apply_overrides(RECIPE, {"backbone.checkpoint": "my/model", "backbone.revision": "v1"})
    assert changed.backbone.revision == "v1"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data.colour": 1}, "unknown flag --data.colour"),
        ({"head.dropout": 1.5}, "dropout"),
        ({"backbone.pooling": "avg"}, "backbone.pooling is 'avg'; allowed: "),
        ({"learning_rat": 1}, "no field 'learning_rat'; did you mean learning_rate?"),
        ({"push_to_hub": True}, "push_to_hub cannot be set"),
        ({"output_dir": "x"}, "output_dir cannot be set"),
        ({"optim": "adamm"}, "training: optim is 'adamm'; allowed: "),
    ],
)
def test_a_wrong_value_is_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        apply_overrides(RECIPE, overrides)


def test_check_training_names_the_place():
    check_training({"learning_rate": 1e-3, "optim": "sgd"})
    with pytest.raises(UserError, match="recipe mine: training: TrainingArguments has no field 'lr'"):
        check_training({"lr": 1e-3}, where="recipe mine: training")
