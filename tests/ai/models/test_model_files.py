"""Model folders hold native files, and nothing corrupt or foreign is loaded."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ai.models.boosting import LightgbmModel, XgboostModel
from ai.models.linear import LogisticModel
from data.errors import UserError
from tests.ai.models.kinds import KINDS


def trained(kind):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 5))
    model = kind()
    model.fit(x, rng.integers(-1, 2, 400).astype(np.int8), np.ones(400))
    return model, x


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_predicts_the_same(kind, tmp_path) -> None:
    model, x = trained(kind)
    model.save(tmp_path / "m")
    model.save(tmp_path / "m")  # replacing an existing folder
    assert np.array_equal(kind.load(tmp_path / "m").predict(x), model.predict(x))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_byte_is_refused_in_one_sentence(kind, tmp_path) -> None:
    model, _ = trained(kind)
    model.save(tmp_path / "m")
    for file in sorted((tmp_path / "m").iterdir()):
        content = bytearray(file.read_bytes())
        middle = len(content) // 2
        content[middle] = ord("7") if content[middle] != ord("7") else ord("8")
        kept = file.read_bytes()
        file.write_bytes(bytes(content))
        with pytest.raises(UserError, match="train it again") as caught:
            kind.load(tmp_path / "m")
        assert str(caught.value).count(". ") == 0
        file.write_bytes(kept)
    kind.load(tmp_path / "m")


def test_a_missing_file_a_wrong_kind_and_an_outside_name_are_refused(tmp_path) -> None:
    model, _ = trained(XgboostModel)
    model.save(tmp_path / "m")
    with pytest.raises(UserError, match="kind 'xgboost'"):
        LightgbmModel.load(tmp_path / "m")
    (tmp_path / "m" / "xgboost.model.json").unlink()
    with pytest.raises(UserError, match=r"lacks the file xgboost\.model\.json"):
        XgboostModel.load(tmp_path / "m")
    with pytest.raises(UserError, match="There is no model in"):
        XgboostModel.load(tmp_path / "nothing")


def test_a_model_that_can_not_be_written_says_so(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        trained(LogisticModel)[0].save(tmp_path / "file" / "m")


def test_manifests_are_plain_json_with_hashes(tmp_path) -> None:
    trained(XgboostModel)[0].save(tmp_path / "m")
    manifest = json.loads((tmp_path / "m" / "manifest.json").read_text())
    assert manifest["kind"] == "xgboost"
    assert set(manifest["files"]) == {"xgboost.json", "xgboost.model.json"}
    assert all(len(digest) == 64 for digest in manifest["files"].values())
