"""Attribution says what is true of networks whose answer is known: by construction, or because a
band was cut off.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_architectures import SMALL
from torch import Tensor, nn

from configs.errors import RequestError
from models.architectures import ARCHITECTURES, build
from models.explain.gradcam import branch_maps, class_map, gradient_maps, occlusion_maps, shares
from models.nets.blocks import Segmenter

BANDS, HEIGHT, WIDTH = 4, 61, 67


def picture(bands: int = BANDS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((bands, HEIGHT, WIDTH)).astype(np.float32)


class OneBand(Segmenter):
    """Logit = 3 × band 2: the feature map before the head is that band."""

    stride, cam_layer, reach_px = 4, "take", 0

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.take = nn.Conv2d(in_channels, 1, 1, bias=False)
        self.head = nn.Conv2d(1, 1, 1, bias=False)
        with torch.no_grad():
            self.take.weight.zero_()
            self.take.weight[0, 2] = 1
            self.head.weight.fill_(3)

    def scores(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.take(x))
        return scores


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_class_map_of_every_network(name: str) -> None:
    for seed in range(6):  # fresh weights may speak against landslide everywhere
        torch.manual_seed(seed)
        network = build(name, BANDS, **SMALL[name]).train()
        state = {key: value.clone() for key, value in network.state_dict().items()}
        cam = class_map(network, picture())
        if cam.any():
            break
    assert cam.shape == (HEIGHT, WIDTH)
    assert cam.dtype == np.float32
    assert cam.min() >= 0
    assert cam.max() == 1
    assert network.training
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_class_map_is_the_feature_that_speaks() -> None:
    image = picture()
    cam = class_map(OneBand(BANDS), image)
    expected = np.maximum(image[2], 0)
    np.testing.assert_allclose(cam, expected / expected.max(), rtol=1e-6)
    assert cam.max() == 1


def test_class_map_of_a_mask_and_of_a_frozen_network() -> None:
    torch.manual_seed(0)
    network = build("resu_net", BANDS, width=8).requires_grad_(False)
    image, mask = picture(), np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[:20, :20] = True
    here, everywhere = class_map(network, image, mask), class_map(network, image)
    assert not np.array_equal(here, everywhere)
    assert np.array_equal(class_map(network, image, np.ones_like(mask)), everywhere)
    assert not np.array_equal(class_map(network, image, layer="bridge"), everywhere)


def test_a_network_that_reads_one_band_attributes_to_it_alone() -> None:
    image = picture()
    for maps in (gradient_maps(OneBand(BANDS), image), occlusion_maps(OneBand(BANDS), image)):
        assert maps.shape == (BANDS, HEIGHT, WIDTH)
        assert shares(maps).tolist() == [0, 0, 1, 0]
    np.testing.assert_allclose(gradient_maps(OneBand(BANDS), image)[2], 3 * image[2], rtol=1e-6)
    fall = occlusion_maps(OneBand(BANDS), image, [[0, 1], [2, 3]])
    np.testing.assert_allclose(fall[1], 3 * (image[2] - image[2].mean()), atol=1e-5)
    assert not fall[0].any()


@pytest.mark.parametrize("name", ["resu_senet", "unet", "fc_densenet"])
def test_cutting_bands_off_a_real_network_silences_them(name: str) -> None:
    torch.manual_seed(1)
    network = build(name, BANDS, **SMALL[name])
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.in_channels == BANDS:
                module.weight[:, [0, 1, 3]] = 0
    for maps in (gradient_maps(network, picture()), occlusion_maps(network, picture())):
        assert shares(maps).tolist() == [0, 0, 1, 0]


def test_branch_maps_follow_the_branch_that_is_used() -> None:
    torch.manual_seed(0)
    network = build("multi_input_unet", BANDS, width=8, groups=[[0, 1], [2, 3]])
    both = branch_maps(network, picture())
    assert both.shape == (2, HEIGHT, WIDTH)
    assert both.min() >= 0
    assert both.max() == 1
    with torch.no_grad():
        for name in ("encoder.0.0", "reduce"):  # both readers of the joined branches
            layer = network.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            layer.weight[:, 8:] = 0
    one = branch_maps(network, picture())
    assert one[0].any()
    assert not one[1].any()
    assert shares(gradient_maps(network, picture()))[2:].tolist() == [0, 0]


def test_shares_of_nothing_are_nothing() -> None:
    assert shares(np.zeros((3, 2, 2), dtype=np.float32)).tolist() == [0, 0, 0]


def test_what_does_not_fit_is_refused() -> None:
    network, image = OneBand(BANDS), picture()
    with pytest.raises(RequestError, match="no input branches"):
        branch_maps(network, image)
    with pytest.raises(RequestError, match=r"no layer 'decoder\.9'"):
        class_map(network, image, layer="decoder.9")
    with pytest.raises(RequestError, match="with 0 pixels"):
        class_map(network, image, np.zeros((HEIGHT, WIDTH), dtype=bool))
    with pytest.raises(RequestError, match="does not fit the image"):
        gradient_maps(network, image, np.ones((3, 3), dtype=bool))
    with pytest.raises(RequestError, match=r"band group \[4\]"):
        occlusion_maps(network, image, [[4]])
    with pytest.raises(RequestError, match="not \\(C, H, W\\)"):
        class_map(network, image[0])
