"""Segmenters whose weights are not here: their interface, on networks of random weights."""

import numpy as np
import pytest

from pinflow.errors import PinflowError, TrunkError
from pinflow.imaging.segments import isnet, maskrcnn
from pinflow.imaging.segments.choose import NAMES, segmenter
from pinflow.imaging.segments.isnet import SIDE, IsNet
from pinflow.imaging.segments.maskrcnn import MaskRcnn, chosen
from pinflow_tests.imaging.segments.scenes import disc, overlap, wall


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


class TestMaskRcnn:
    def test_a_network_of_random_weights_answers_in_the_right_shape(self):
        import torch
        from torchvision.models.detection import maskrcnn_resnet50_fpn

        torch.manual_seed(0)
        network = maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=96
        )
        picture = wall(96, 64)
        for one in MaskRcnn(network, [None, "cup", "shoe"]).segments(picture):
            assert one.mask.shape == (64, 96)
            assert one.name in ("cup", "shoe")

    def test_the_surer_of_two_masks_of_one_thing_stays(self):
        _, mask = disc(wall(), 60, 70, 30, 0)
        _, almost = disc(wall(), 61, 70, 29, 0)
        _, other = disc(wall(), 130, 30, 15, 0)
        found = chosen(np.stack([almost, other, mask]), [0.7, 0.6, 0.9], ["pot", "cup", "bowl"])
        assert [one.name for one in found] == ["bowl", "cup"]

    def test_what_it_is_not_sure_of_and_specks_are_left_out(self):
        _, mask = disc(wall(), 60, 70, 30, 0)
        _, speck = disc(wall(), 20, 20, 2, 0)
        assert chosen(np.stack([mask, speck]), [0.3, 0.9], ["a", "b"]) == []

    def test_without_weights_it_says_what_to_do(self, tmp_path, no_cache):
        with pytest.raises(TrunkError, match="no weights"):
            MaskRcnn.load(tmp_path / "none.pth")

    def test_a_file_of_another_network_is_refused(self, tmp_path, no_cache):
        import torch

        torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
        with pytest.raises(TrunkError, match="cannot be loaded"):
            MaskRcnn.load(tmp_path / "other.pth")


class Brightness:
    """Stands in for the network: a mask where its input is dark."""

    def get_inputs(self):
        from types import SimpleNamespace

        return [SimpleNamespace(name="input")]

    def run(self, _, given):
        batch = given["input"]
        assert batch.shape == (1, 3, SIDE, SIDE)
        assert batch.dtype == np.float32
        assert -0.5 <= batch.min() <= batch.max() <= 0.5
        return [(batch.mean(axis=1, keepdims=True) < 0).astype(np.float32)]


class TestIsNet:
    def test_its_mask_comes_back_at_the_size_of_the_picture(self):
        picture, mask = disc(wall(), 60, 70, 30, (40, 20, 20))
        (found,) = IsNet(Brightness()).segments(picture)
        assert found.mask.shape == picture.shape[:2]
        assert overlap(found.mask, mask) > 0.95

    def test_a_file_that_is_no_network_is_refused(self, tmp_path):
        (tmp_path / "isnet.onnx").write_bytes(b"no network")
        with pytest.raises(TrunkError, match="cannot be loaded"):
            IsNet.load(tmp_path / "isnet.onnx")


class TestChoosing:
    def test_without_any_weights_grabcut_is_the_best_there_is(self, tmp_path, no_cache):
        assert segmenter(tmp_path).name == "grabcut"

    @pytest.mark.parametrize("name", ["grabcut", "saliency"])
    def test_what_needs_no_weights_is_always_there(self, tmp_path, name):
        assert segmenter(tmp_path, name).name == name

    @pytest.mark.parametrize("name", ["maskrcnn", "isnet"])
    def test_what_is_asked_for_and_not_installed_says_so(self, tmp_path, no_cache, name):
        with pytest.raises(PinflowError, match=r"no weights|not installed"):
            segmenter(tmp_path, name)

    def test_an_unknown_one_names_the_known(self, tmp_path):
        with pytest.raises(ValueError, match=", ".join(NAMES)):
            segmenter(tmp_path, "magic")

    def test_an_installed_isnet_is_loaded_when_asked_for(self, tmp_path, monkeypatch):
        (tmp_path / isnet.FILE).write_bytes(b"")
        monkeypatch.setattr(isnet.IsNet, "load", classmethod(lambda cls, path: cls(Brightness())))
        assert segmenter(tmp_path, "isnet").name == "isnet"

    def test_cached_weights_are_used(self, tmp_path, no_cache, monkeypatch):
        import torch

        checkpoints = tmp_path / "hub" / "checkpoints"
        checkpoints.mkdir(parents=True)
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
        assert maskrcnn.cached() is None
        from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights

        (checkpoints / MaskRCNN_ResNet50_FPN_V2_Weights.DEFAULT.url.rpartition("/")[2]).write_bytes(b"x")
        assert maskrcnn.cached() is not None
