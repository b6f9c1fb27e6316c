"""The networks in PyTorch, from the papers' descriptions, their modules nested so that names come out as published."""

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DenseBlock(nn.Module):
    """`bare` convolutions, or each in a sequence with its activation, as the oldest files have them."""

    def __init__(self, filters, growth, bare=True, plus=False):
        super().__init__()
        for k in range(1, 6):
            layer = conv(filters + (k - 1) * growth, growth if k < 5 else filters)
            setattr(self, f"conv{k}", layer if bare else nn.Sequential(layer))
        if plus:
            self.conv1x1 = nn.Conv2d(filters, growth, 1, bias=False)

    def forward(self, x):
        def activated(layer, *features):
            return F.leaky_relu(layer(torch.cat(features, 1)), 0.2)

        plus = hasattr(self, "conv1x1")
        x1 = activated(self.conv1, x)
        x2 = activated(self.conv2, x, x1) + (self.conv1x1(x) if plus else 0)
        x3 = activated(self.conv3, x, x1, x2)
        x4 = activated(self.conv4, x, x1, x2, x3) + (x2 if plus else 0)
        return x + 0.2 * self.conv5(torch.cat((x, x1, x2, x3, x4), 1))


class Block(nn.Module):
    """Three dense blocks under the given name, `rdb` or `RDB`."""

    def __init__(self, name, *sizes, **kinds):
        super().__init__()
        for j in (1, 2, 3):
            setattr(self, f"{name}{j}", DenseBlock(*sizes, **kinds))

    def forward(self, x):
        y = x
        for block in self.children():
            y = block(y)
        return x + 0.2 * y


def up(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


class _RRDBNet(nn.Module):
    """Packs the input before `body`, repeating the edge of sizes that do not divide, and crops what comes out."""

    unshuffle = 1
    scale = 4

    def forward(self, x):
        height, width = x.shape[2:]
        if self.unshuffle > 1:
            x = F.pad(x, (0, -width % self.unshuffle, 0, -height % self.unshuffle), mode="replicate")
            x = F.pixel_unshuffle(x, self.unshuffle)
        return self.network(x)[:, :, : height * self.scale, : width * self.scale]


class BasicSR(_RRDBNet):
    def __init__(self, filters=64, blocks=23, growth=32, in_channels=3, out_channels=3, unshuffle=1):
        super().__init__()
        self.unshuffle, self.scale = unshuffle, 4 // unshuffle
        self.conv_first = conv(in_channels * unshuffle**2, filters)
        self.body = nn.Sequential(*(Block("rdb", filters, growth) for _ in range(blocks)))
        self.conv_body = conv(filters, filters)
        self.conv_up1 = conv(filters, filters)
        self.conv_up2 = conv(filters, filters)
        self.conv_hr = conv(filters, filters)
        self.conv_last = conv(filters, out_channels)

    def network(self, x):
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for layer in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(layer(up(x)), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))


class Repository(_RRDBNet):
    """As in the repository of ESRGAN, x4, or x2 as BSRGANx2 has it."""

    def __init__(self, filters=64, blocks=23, growth=32, in_channels=3, out_channels=3, scale=4):
        super().__init__()
        self.scale = scale
        self.conv_first = conv(in_channels, filters)
        self.RRDB_trunk = nn.Sequential(*(Block("RDB", filters, growth) for _ in range(blocks)))
        self.trunk_conv = conv(filters, filters)
        self.upconv1 = conv(filters, filters)
        if scale == 4:
            self.upconv2 = conv(filters, filters)
        self.HRconv = conv(filters, filters)
        self.conv_last = conv(filters, out_channels)

    def network(self, x):
        x = self.conv_first(x)
        x = x + self.trunk_conv(self.RRDB_trunk(x))
        for layer in (self.upconv1, self.upconv2) if self.scale == 4 else (self.upconv1,):
            x = F.leaky_relu(layer(up(x)), 0.2)
        return self.conv_last(F.leaky_relu(self.HRconv(x), 0.2))


class Shortcut(nn.Module):
    def __init__(self, sub):
        super().__init__()
        self.sub = sub

    def forward(self, x):
        return x + self.sub(x)


class Oldest(_RRDBNet):
    """One flat sequence, as in the files of 2018, for any number of up-sampling stages."""

    def __init__(
        self, filters=64, blocks=23, growth=32, in_channels=3, out_channels=3, stages=2, plus=False, unshuffle=1
    ):
        super().__init__()
        self.unshuffle, self.scale = unshuffle, 2**stages // unshuffle
        trunk = [Block("RDB", filters, growth, bare=False, plus=plus) for _ in range(blocks)]
        layers = [conv(in_channels * unshuffle**2, filters), Shortcut(nn.Sequential(*trunk, conv(filters, filters)))]
        for _ in range(stages):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), conv(filters, filters), nn.LeakyReLU(0.2)]
        layers += [conv(filters, filters), nn.LeakyReLU(0.2), conv(filters, out_channels)]
        self.model = nn.Sequential(*layers)

    def network(self, x):
        return self.model(x)


class Compact(nn.Module):
    def __init__(self, scale=4, filters=64, blocks=16, channels=3):
        super().__init__()
        self.scale = scale
        self.body = nn.ModuleList()
        for i in range(1 + blocks):
            self.body += [conv(filters if i else channels, filters), nn.PReLU(filters)]
        self.body.append(conv(filters, channels * scale**2))

    def forward(self, x):
        y = x
        for layer in self.body:
            y = layer(y)
        return F.pixel_shuffle(y, self.scale) + F.interpolate(x, scale_factor=self.scale, mode="nearest")


def randomised(network, seed=0):
    """Weights as a trained network has them: every channel its own bias and slope."""
    torch.manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.1, 0.4)
        else:
            gain = 0.5 if "rdb" in name.lower() else 1.0
            nn.init.normal_(parameter, std=gain * (2 / parameter[0].numel()) ** 0.5)
    return network.eval()


def run(network, image):
    """A channels-last NumPy image through a PyTorch network."""
    with torch.no_grad():
        return network(torch.from_numpy(image.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
