"""The networks in PyTorch from the papers' descriptions, with nested modules that give the published names."""

import re

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DenseBlock(nn.Module):
    """`bare` convolutions, or each in a sequence with its activation, like old-arch ESRGAN."""

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
    """Packs the input before `body`, repeats the edge of sizes that do not divide, and crops the output."""

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
    """RRDBNet in ESRGAN's repository, x4, or x2 in the form of BSRGANx2."""

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
    """One flat sequence like old-arch ESRGAN, for any number of upsampling stages."""

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


class CompactResNet(nn.Module):
    """The network of the bundled models; only this package has it, so the names are the package's."""

    def __init__(self, scale=4, filters=64, blocks=9, channels=3):
        super().__init__()
        self.scale = scale
        self.conv_first = conv(channels, filters)
        self.body = nn.ModuleList()
        for _ in range(blocks):
            self.body.append(nn.Sequential(conv(filters, filters), nn.LeakyReLU(0.1), conv(filters, filters)))
        self.conv_body = conv(filters, filters)
        self.conv_last = conv(filters, channels * scale**2)

    def forward(self, image):
        shallow = x = self.conv_first(image)
        for block in self.body:
            x = x + block(x)
        x = self.conv_last(shallow + self.conv_body(x))
        return F.pixel_shuffle(x, self.scale) + F.interpolate(image, scale_factor=self.scale, mode="nearest")


class SRResNet(nn.Module):
    """SRGAN's generator with the names of SRGAN-PyTorch, or of its first generation."""

    def __init__(self, scale=4, filters=64, blocks=16, channels=3, names=("conv1", "conv2", "conv3")):
        super().__init__()

        def normalised():
            return nn.Conv2d(filters, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters)

        self.names = names
        first = nn.Sequential(nn.Conv2d(channels, filters, 9, padding=4), nn.PReLU())
        self.trunk = nn.Sequential()
        for _ in range(blocks):
            block = nn.Module()
            block.rcb = nn.Sequential(*normalised(), nn.PReLU(), *normalised())
            self.trunk.append(block)
        self.upsampling = nn.Sequential()
        for _ in range({2: 1, 4: 2, 8: 3}[scale]):
            stage = nn.Module()
            stage.upsample_block = nn.Sequential(conv(filters, 4 * filters), nn.PixelShuffle(2), nn.PReLU())
            self.upsampling.append(stage)
        ends = (first, nn.Sequential(*normalised()), nn.Conv2d(filters, channels, 9, padding=4))
        for name, layer in zip(names, ends, strict=True):
            setattr(self, name, layer)

    def forward(self, x):
        first, body, last = (getattr(self, name) for name in self.names)
        shallow = x = first(x)
        for block in self.trunk:
            x = x + block.rcb(x)
        x = shallow + body(x)
        for stage in self.upsampling:
            x = stage.upsample_block(x)
        return last(x)


class MSRResNet(nn.Module):
    """BasicSR's MSRResNet."""

    def __init__(self, scale=4, filters=64, blocks=16, channels=3):
        super().__init__()
        self.scale = scale
        self.conv_first = conv(channels, filters)
        self.body = nn.Sequential()
        for _ in range(blocks):
            block = nn.Module()
            block.conv1, block.conv2 = conv(filters, filters), conv(filters, filters)
            self.body.append(block)
        self.factor = 3 if scale == 3 else 2
        self.upconv1 = conv(filters, self.factor**2 * filters)
        if scale == 4:
            self.upconv2 = conv(filters, 4 * filters)
        self.conv_hr = conv(filters, filters)
        self.conv_last = conv(filters, channels)

    def forward(self, image):
        x = F.leaky_relu(self.conv_first(image), 0.1)
        for block in self.body:
            x = x + block.conv2(F.relu(block.conv1(x)))
        for layer in (self.upconv1, self.upconv2) if self.scale == 4 else (self.upconv1,):
            x = F.leaky_relu(F.pixel_shuffle(layer(x), self.factor), 0.1)
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.1))
        return x + F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)


class RCAN(nn.Module):
    """RCAN with the authors' names. With `mean` for images of 0 to 255, without for images of 0 to 1."""

    def __init__(self, scale=4, filters=64, groups=10, blocks=20, reduction=16, mean=True, unshuffle=1):
        super().__init__()
        if mean:
            self.sub_mean, self.add_mean = EDSR.shift(-255, DIV2K_MEAN), EDSR.shift(255, DIV2K_MEAN)
        first = conv(3 * unshuffle**2, filters)
        self.head = nn.Sequential(nn.PixelUnshuffle(unshuffle), first) if unshuffle > 1 else nn.Sequential(first)
        self.body = nn.Sequential()
        for _ in range(groups):
            group = nn.Module()
            group.body = nn.Sequential()
            for _ in range(blocks):
                block, attention = nn.Module(), nn.Module()
                narrow = filters // reduction
                attention.conv_du = nn.Sequential(
                    nn.Conv2d(filters, narrow, 1), nn.ReLU(), nn.Conv2d(narrow, filters, 1)
                )
                block.body = nn.Sequential(conv(filters, filters), nn.ReLU(), conv(filters, filters), attention)
                group.body.append(block)
            group.body.append(conv(filters, filters))
            self.body.append(group)
        self.body.append(conv(filters, filters))
        self.tail = nn.Sequential(shuffles(scale * unshuffle, filters), conv(filters, 3))

    def forward(self, x):
        mean = hasattr(self, "sub_mean")
        shallow = x = self.head(self.sub_mean(x) if mean else x)
        for group in list(self.body)[:-1]:
            y = x
            for block in list(group.body)[:-1]:
                z = block.body[:3](y)
                y = y + z * torch.sigmoid(block.body[3].conv_du(z.mean((2, 3), keepdim=True)))
            x = x + group.body[-1](y)
        x = self.tail(shallow + self.body[-1](x))
        return self.add_mean(x) if mean else x


def basicsr_names_of_rcan(state, groups, blocks):
    """The state of an `RCAN` with BasicSR's names, without the mean."""
    renamed = {}
    for name, tensor in state.items():
        if "_mean." in name:
            continue
        name = re.sub(r"^body\.(\d+)\.body\.(\d+)\.body\.([02])\.", r"body.\1.residual_group.\2.rcab.\3.", name)
        for i, j in ((0, 1), (2, 3)):
            name = re.sub(
                rf"^body\.(\d+)\.body\.(\d+)\.body\.3\.conv_du\.{i}\.",
                rf"body.\1.residual_group.\2.rcab.3.attention.{j}.",
                name,
            )
        name = re.sub(rf"^body\.(\d+)\.body\.{blocks}\.", r"body.\1.conv.", name)
        name = name.replace(f"body.{groups}.weight", "conv_after_body.weight")
        name = name.replace(f"body.{groups}.bias", "conv_after_body.bias")
        name = name.replace("head.0.", "conv_first.").replace("tail.0.", "upsample.").replace("tail.1.", "conv_last.")
        renamed[name] = tensor
    return renamed


class Branches(nn.Module):
    """A 3x3 convolution of SPAN during training: a 1x1 next to a sequence of 1x1, 3x3 and 1x1."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.sk = nn.Conv2d(inputs, outputs, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, 2 * inputs, 1),
            nn.Conv2d(2 * inputs, 2 * outputs, 3),
            nn.Conv2d(2 * outputs, outputs, 1),
        )
        self.eval_conv = conv(inputs, outputs)  # outdated weights, not used in the computation

    def forward(self, x):
        return self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)


class SPAN(nn.Module):
    def __init__(self, scale=4, filters=48, blocks=6, mean=True):
        super().__init__()
        if not mean:
            self.register_buffer("no_norm", torch.zeros(1))
        self.blocks, self.scale = blocks, scale
        self.conv_1 = Branches(3, filters)
        for i in range(1, 1 + blocks):
            block = nn.Module()
            for j in (1, 2, 3):
                setattr(block, f"c{j}_r", Branches(filters, filters))
            setattr(self, f"block_{i}", block)
        self.conv_cat = nn.Conv2d(4 * filters, filters, 1)
        self.conv_2 = Branches(filters, filters)
        self.upsampler = nn.Sequential(conv(filters, 3 * scale**2), nn.PixelShuffle(scale))

    def forward(self, image):
        x = image
        if not hasattr(self, "no_norm"):
            x = 255 * (image - torch.tensor(DIV2K_MEAN)[:, None, None])
        x = shallow = self.conv_1(x)
        for i in range(1, 1 + self.blocks):
            block = getattr(self, f"block_{i}")
            inner = F.silu(block.c1_r(x))
            y = block.c3_r(F.silu(block.c2_r(inner)))
            x = (y + x) * (torch.sigmoid(y) - 0.5)
            if i == 1:
                first = x
        return self.upsampler(self.conv_cat(torch.cat([shallow, self.conv_2(x), first, inner], 1)))


class SRResNetPlus(nn.Module):
    """DPSR with KAIR's names: four input channels, the last is the noise level."""

    def __init__(self, scale=4, filters=96, blocks=16):
        super().__init__()
        parts = [conv(4, filters), nn.Module()]
        parts[1].sub = nn.Sequential()
        for _ in range(blocks):
            block = nn.Module()
            block.res = nn.Sequential(conv(filters, filters), nn.ReLU(), conv(filters, filters))
            parts[1].sub.append(block)
        parts[1].sub.append(conv(filters, filters))
        for r in (2, 2) if scale == 4 else (scale,):
            parts += [conv(filters, r * r * filters), nn.PixelShuffle(r), nn.ReLU()]
        parts += [conv(filters, filters), nn.ReLU(), nn.Conv2d(filters, 3, 3, padding=1, bias=False)]
        self.model = nn.Sequential(*parts)

    def forward(self, x):
        first, body, *tail = self.model
        *blocks, last = body.sub
        shallow = x = first(x)
        for block in blocks:
            x = x + block.res(x)
        return nn.Sequential(*tail)(shallow + last(x))


DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


class EDSR(nn.Module):
    """EDSR with the authors' names, for images of 0 to 255; fixed 1x1 convolutions contain the mean colour."""

    def __init__(self, scale=4, filters=64, blocks=16, residual_scale=1.0, mean=DIV2K_MEAN):
        super().__init__()
        self.residual_scale = residual_scale
        self.sub_mean, self.add_mean = self.shift(-255, mean), self.shift(255, mean)
        self.head = nn.Sequential(conv(3, filters))
        self.body = nn.Sequential()
        for _ in range(blocks):
            block = nn.Module()
            block.body = nn.Sequential(conv(filters, filters), nn.ReLU(), conv(filters, filters))
            self.body.append(block)
        self.body.append(conv(filters, filters))
        self.tail = nn.Sequential(shuffles(scale, filters), conv(filters, 3))

    @staticmethod
    def shift(times, mean):
        layer = nn.Conv2d(3, 3, 1).requires_grad_(False)
        layer.weight.data = torch.eye(3)[:, :, None, None]
        layer.bias.data = times * torch.tensor(mean)
        return layer

    def forward(self, x):
        *blocks, last = self.body
        shallow = x = self.head(self.sub_mean(x))
        for block in blocks:
            x = x + self.residual_scale * block.body(x)
        return self.add_mean(self.tail(shallow + last(x)))


class BasicSREDSR(nn.Module):
    """BasicSR's EDSR, for images of 0 to 1; the mean colour is no tensor of the file."""

    def __init__(self, scale=4, filters=64, blocks=16, residual_scale=1.0):
        super().__init__()
        self.residual_scale = residual_scale
        self.mean = torch.tensor(DIV2K_MEAN)[:, None, None]
        self.conv_first = conv(3, filters)
        self.body = nn.Sequential()
        for _ in range(blocks):
            block = nn.Module()
            block.conv1, block.conv2 = conv(filters, filters), conv(filters, filters)
            self.body.append(block)
        self.conv_after_body = conv(filters, filters)
        self.upsample = shuffles(scale, filters)
        self.conv_last = conv(filters, 3)

    def forward(self, image):
        shallow = x = self.conv_first(255 * (image - self.mean))
        for block in self.body:
            x = x + self.residual_scale * block.conv2(F.relu(block.conv1(x)))
        x = self.conv_last(self.upsample(shallow + self.conv_after_body(x)))
        return x / 255 + self.mean


def shuffles(scale, filters):
    """Alternating convolutions and pixel shuffles."""
    layers = []
    for r in {1: (), 4: (2, 2), 8: (2, 2, 2)}.get(scale, (scale,)):
        layers += [conv(filters, r * r * filters), nn.PixelShuffle(r)]
    return nn.Sequential(*layers)


class SrganDiscriminator(nn.Module):
    def __init__(self, size=96, filters=64):
        super().__init__()
        layers, inputs = [nn.Conv2d(3, filters, 3, padding=1), nn.LeakyReLU(0.2)], filters
        for outputs, stride in ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)):
            outputs *= filters
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * (size // 16) ** 2, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1)
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class VGGStyleDiscriminator(nn.Module):
    def __init__(self, size=128, filters=64):
        super().__init__()
        inputs = 3
        for stage, factor in enumerate((1, 2, 4, 8, 8)):
            outputs = factor * filters
            setattr(self, f"conv{stage}_0", nn.Conv2d(inputs, outputs, 3, padding=1, bias=stage == 0))
            setattr(self, f"conv{stage}_1", nn.Conv2d(outputs, outputs, 4, 2, 1, bias=False))
            for number in (0, 1) if stage else (1,):
                setattr(self, f"bn{stage}_{number}", nn.BatchNorm2d(outputs))
            inputs = outputs
        self.linear1, self.linear2 = nn.Linear(inputs * (size // 32) ** 2, 100), nn.Linear(100, 1)

    def forward(self, x):
        for stage in range(5):
            for number in (0, 1):
                x = getattr(self, f"conv{stage}_{number}")(x)
                if (stage, number) != (0, 0):
                    x = getattr(self, f"bn{stage}_{number}")(x)
                x = F.leaky_relu(x, 0.2)
        return self.linear2(F.leaky_relu(self.linear1(x.flatten(1)), 0.2))


class UNetDiscriminatorSN(nn.Module):
    def __init__(self, filters=64):
        super().__init__()
        f, norm = filters, nn.utils.spectral_norm
        self.conv0 = conv(3, f)
        for i, (inputs, outputs) in enumerate(((f, 2 * f), (2 * f, 4 * f), (4 * f, 8 * f)), start=1):
            setattr(self, f"conv{i}", norm(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)))
        sizes = ((8 * f, 4 * f), (4 * f, 2 * f), (2 * f, f), (f, f), (f, f))
        for i, (inputs, outputs) in enumerate(sizes, start=4):
            setattr(self, f"conv{i}", norm(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)))
        self.conv9 = conv(f, 1)

    def forward(self, x):
        def activated(i, x):
            return F.leaky_relu(getattr(self, f"conv{i}")(x), 0.2)

        skips = [activated(0, x)]
        for i in (1, 2, 3):
            skips.append(activated(i, skips[-1]))
        x = skips[3]
        for i in (4, 5, 6):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = activated(i, x) + skips[6 - i]
        return self.conv9(activated(8, activated(7, x)))


def randomised(network, seed=0):
    """Gives every channel a different bias, slope and statistics, like in a trained network."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    gains = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        if name in gains:
            nn.init.uniform_(parameter, 0.5, 1.5)
        elif parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.1, 0.4)
        else:
            gain = 0.5 if "rdb" in name.lower() else 1.0
            nn.init.normal_(parameter, std=gain * (2 / parameter[0].numel()) ** 0.5)
    if isinstance(network, UNetDiscriminatorSN):  # singular vectors that match the kernels
        with torch.no_grad():
            for _ in range(5):
                network(torch.rand(1, 3, 16, 16))
    return network.eval()


def run(network, image):
    """Runs a channels-last NumPy image through a PyTorch network."""
    with torch.no_grad():
        return network(torch.from_numpy(image.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
