"""Code that a checkpoint brings is run on request alone, and then in a state that cannot change.

Each planted file writes down that it was run.
"""

import json
import sys
from pathlib import Path

import pytest
from mini import mini_image_checkpoint, mini_text_checkpoint

from hf_transfer import (
    FrozenFeatures,
    ImageBackbone,
    ImageClassification,
    LinearHead,
    LSTMHead,
    NativeHead,
    Recipe,
    TextBackbone,
    TextClassification,
    UserError,
    load,
    run,
)
from hf_transfer.hub_push import pushable

CODE = {
    "configuration_planted": "class PlantedConfig(transformers.{config}):\n    model_type = '{model_type}'",
    "modeling_planted": """from .configuration_planted import PlantedConfig
class PlantedModel(transformers.BertModel):
    config_class = PlantedConfig
class PlantedForSequenceClassification(transformers.BertForSequenceClassification):
    config_class = PlantedConfig""",
    "tokenization_planted": "class PlantedTokenizer(transformers.BertTokenizer):\n    pass",
    "processing_planted": "class PlantedProcessor(transformers.TimmWrapperImageProcessor):\n    pass",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Names of the planted files that were run; transformers' copies of them lie in no user's cache."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    place = tmp_path / "ran"
    yield lambda: set(place.read_text().split()) if place.exists() else set()
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        del sys.modules[name]


def plant(folder: Path, model_type: str, config: str = "BertConfig", repo: str = "") -> Path:
    """Let `auto_map` of a mini checkpoint name files of its own, or of another repository."""
    for name, body in CODE.items():
        note = f"pathlib.Path({str(folder.parent / 'ran')!r}).open('a').write('{name} ')"
        body = body.format(model_type=model_type, config=config)
        (folder / f"{name}.py").write_text(f"import pathlib, transformers\n{note}\n{body}\n")
    names = {
        "AutoConfig": f"{repo}configuration_planted.PlantedConfig",
        "AutoModel": f"{repo}modeling_planted.PlantedModel",
        "AutoModelForSequenceClassification": f"{repo}modeling_planted.PlantedForSequenceClassification",
        "AutoImageProcessor": f"{repo}processing_planted.PlantedProcessor",
    }
    rewrite(folder / "config.json", model_type=model_type, auto_map=names)
    if (folder / "tokenizer_config.json").exists():
        tokenizer = {"AutoTokenizer": [f"{repo}tokenization_planted.PlantedTokenizer", None]}
        rewrite(folder / "tokenizer_config.json", auto_map=tokenizer)
    return folder


def rewrite(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def planted(tmp_path):
    """A checkpoint that only its own code defines."""
    return plant(mini_text_checkpoint(tmp_path / "planted"), "planted")


@pytest.fixture
def covered(tmp_path):
    """A checkpoint that transformers has a class for, and that brings another one."""
    return plant(mini_text_checkpoint(tmp_path / "covered"), "bert")


def recipe(checkpoint, reviews, head=NativeHead()) -> Recipe:  # noqa: B008 - a value
    return Recipe(
        summary="planted",
        data=TextClassification(str(reviews), label="stars"),
        backbone=TextBackbone(str(checkpoint), max_length=32),
        head=head,
        strategy=FrozenFeatures(),
        training=dict(max_steps=1),
    )


def test_without_the_flag_nothing_is_run(planted, reviews, tmp_path, ran):
    for head in (NativeHead(), LSTMHead(4, 1)):
        with pytest.raises(UserError, match="brings its own code; read it, then pass --trust_remote_code to run it"):
            run(recipe(planted, reviews, head), tmp_path / "out")
    backbone = TextBackbone(str(planted), max_length=32)
    rewrite(planted / "config.json", auto_map={}, model_type="bert")  # now the tokenizer alone brings code
    backbone.processor()
    assert ran() == set()


def test_a_stock_class_is_taken_where_there_is_one(covered, reviews, tmp_path, ran):
    for name, head in (("native", NativeHead()), ("lstm", LSTMHead(4, 1))):
        run(recipe(covered, reviews, head), tmp_path / name)
        for file in ("config.json", "tokenizer_config.json"):
            assert "planted" not in (tmp_path / name / file).read_text()  # others might run it
        assert not list((tmp_path / name).glob("*planted*"))
        load(tmp_path / name).predict(["a fine film"])
    assert ran() == set()


def test_with_the_flag_it_is_run_and_the_result_asks_again(planted, reviews, tmp_path, ran):
    out = tmp_path / "out"
    run(recipe(planted, reviews), out, trust_remote_code=True)
    assert ran() == {"configuration_planted", "modeling_planted", "tokenization_planted"}
    (tmp_path / "ran").unlink()
    with pytest.raises(UserError, match=r"it brings code that is not ours.*load\('.*out', trust_remote_code=True\)"):
        load(out)
    assert ran() == set()
    assert load(out, trust_remote_code=True).predict(["a fine film"])[0].label in ("bad", "good")
    with pytest.raises(UserError, match="is not code of this package; code of others is not pushed"):
        pushable(out)


def test_a_head_of_ours_on_code_of_others_is_refused(planted, covered, reviews, tmp_path, ran):
    """It would train for hours and then not load."""
    for checkpoint in (planted, covered):
        with pytest.raises(UserError, match="under a LinearHead that could not be loaded again; use a NativeHead"):
            run(recipe(checkpoint, reviews, LinearHead()), tmp_path / "out", trust_remote_code=True)
    assert "modeling_planted" not in ran()


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:7], COMMIT.upper(), COMMIT + "0"])
def test_code_from_the_hub_needs_a_full_commit(revision, reviews):
    words = f"backbone.revision is {revision!r}; allowed: the full hash .* --backbone.revision COMMIT"
    for call in (TextBackbone.load_config, TextBackbone.processor):
        with pytest.raises(UserError, match=words):
            call(TextBackbone("mallory/planted", revision, max_length=32), True)


def test_with_a_full_commit_the_hub_is_asked():
    with pytest.raises(UserError, match="neither a folder on this disk nor reachable on the Hub"):
        TextBackbone("mallory/planted", COMMIT, max_length=32).load_config(True)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_another_repository_is_refused(file, tmp_path, reviews, ran):
    folder = plant(mini_text_checkpoint(tmp_path / "planted"), "bert", repo="mallory/other--")
    other = "tokenizer_config.json" if file == "config.json" else "config.json"
    rewrite(folder / other, auto_map={})
    words = f"{file} of checkpoint .* from another repository, 'mallory/other', whose state .* does not pin"
    with pytest.raises(UserError, match=words):
        run(recipe(folder, reviews), tmp_path / "out", trust_remote_code=True)
    run(recipe(folder, reviews), tmp_path / "out")  # without the flag, the stock classes do
    assert ran() == set()


def test_an_old_way_to_name_a_tokenizers_code(planted, ran):
    rewrite(planted / "tokenizer_config.json", auto_map=["mallory/other--tokenization_planted.PlantedTokenizer", None])
    with pytest.raises(UserError, match="another repository, 'mallory/other'"):
        TextBackbone(str(planted), max_length=32).processor(True)
    assert ran() == set()


def test_the_own_name_before_a_file_is_no_other_repository(monkeypatch):
    from hf_transfer.backbones import trust

    names = {"AutoConfig": "a/b--configuration_b.Config", "AutoModelForCausalLM": "c/d--modeling_d.Model"}
    monkeypatch.setattr(trust, "read_json", lambda *_, **__: {"auto_map": names})
    trust.check_trust("a/b", COMMIT)
    with pytest.raises(UserError, match="'a/b'"):
        trust.check_trust("a/fork-of-b", COMMIT)


def test_a_missing_package_of_the_code_is_told_in_one_line(planted, reviews, tmp_path, ran):
    code = planted / "modeling_planted.py"
    code.write_text("import surely_not_installed\n" + code.read_text())
    with pytest.raises(UserError, match="cannot be loaded: .*surely_not_installed"):
        run(recipe(planted, reviews), tmp_path / "out", trust_remote_code=True)


@pytest.mark.parametrize("trust", [False, True])
def test_an_image_net_never_needs_code(trust, tmp_path, photos, ran):
    folder = plant(mini_image_checkpoint(tmp_path / "net"), "timm_wrapper", "TimmWrapperConfig")
    images = Recipe(
        summary="planted",
        data=ImageClassification(str(photos)),
        backbone=ImageBackbone(str(folder), image_size=32),
        head=NativeHead(),
        strategy=FrozenFeatures(),
        training=dict(max_steps=1),
    )
    run(images, tmp_path / "out", trust_remote_code=trust)
    assert "planted" not in (tmp_path / "out/config.json").read_text()
    load(tmp_path / "out").predict([next(photos.glob("*/*.png"))])
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "planted", "auto_map": content["auto_map"]}))
    with pytest.raises(UserError, match="is defined by its own code, and a vision recipe needs a timm net"):
        ImageBackbone(str(folder)).load_config(trust)
    assert ran() == set()


@pytest.mark.parametrize("name", ["hf-hub:mallory/net", "local-dir:/tmp/net", "no_such_net"])
def test_a_net_that_timm_does_not_have(name, tmp_path):
    folder = mini_image_checkpoint(tmp_path / "net")
    rewrite(folder / "config.json", architecture=name)
    with pytest.raises(UserError, match=f"a net that this timm does not have: '{name}'"):
        ImageBackbone(str(folder)).load_config()


def test_our_own_code_asks_no_question(monkeypatch):
    """transformers would ask at the keyboard where trust is neither given nor denied."""
    from transformers import BertConfig

    from hf_transfer.hub import TransferForSequenceClassification, TransferTextConfig

    class Odd(BertConfig):
        model_type = "odd"

    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    config = TransferTextConfig(backbone_config=Odd(), num_labels=2)
    config.backbone_config.auto_map = {"AutoModel": "mallory/other--modeling_planted.PlantedModel"}
    with pytest.raises(ValueError, match="trust_remote_code"):
        TransferForSequenceClassification(config)
