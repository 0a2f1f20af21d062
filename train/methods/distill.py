"""Distillation: a small student learns what a large, finished teacher makes of images.

GAN Compression (Li et al. 2020, section 3.1), `variant = "gan_compression"`:

    L = L_GAN(student) + 100 |student(a) - target| + 1 sum_t (f_t(student_t(a)) - teacher_t(a))^2

The target is the true b on pairs (`paired`) and the teacher's image otherwise; f_t are 1x1
convolutions at four stages (`networks.stages`); the discriminator goes on from the teacher's.

OMGD (Ren et al. 2021, section 3), `variant = "omgd"`, without discriminator or truth:

    L = 10 (1 - SSIM) + 1e4 L_style + 10 L_feature + 1e-5 L_TV + 500 L_CD,   student to teacher

SSIM is Wang et al.'s (2004); style and feature are Johnson et al.'s (2016, equations 4 and 2, the
second as L1) on VGG16's relu1_2, relu2_2, relu3_3 and relu4_3, feature on relu2_2 alone; channel
distillation L_CD compares channels' means at the four stages through 1x1 convolution, batch norm
and ReLU. The weights are free: any term of the one can be had in the other.

Where the authors' code differs from the paper, the code is followed:

* OMGD's code gives 1e4 to style and 10 to feature; its list of weights reads the other way round.
* OMGD's total variation is a sum and grows with the image; Gram matrices are divided by C h w.
* GAN Compression computes both losses before either step: here the student's update comes first,
  and the discriminator's on the translation made before, which is the same.

What differs here:

* The teacher is finished and frozen (OMGD's "offline"); OMGD trains one or two along with it.
* SSIM is taken on [0, 1], for which its constants are defined; OMGD's code gives it [-1, 1].
* Neither pruning from the teacher's weights, nor supernet and search: the student is as configured.
* Stages of other sizes are averaged down to the smaller, so that architectures may differ.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import NonNegativeFloat, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from dayshift.runtime.errors import UsageError
from dayshift.train import losses
from dayshift.train.methods.base import (
    Adam,
    Batch,
    LinearDecay,
    NetworkChoice,
    Scheduled,
    Section,
    Stateless,
    Update,
    frozen,
)
from dayshift.train.methods.perceptual import LazyVgg
from dayshift.train.networks.initialize import initialize
from dayshift.train.networks.presets import is_image_generator
from dayshift.train.networks.stages import StageDistance, StageRecorder

if TYPE_CHECKING:
    from dayshift.train.teacher import Teacher

_OMGD: dict[str, Any] = {
    "recon": 0.0,
    "features": 0.0,
    "gan_weight": 0.0,
    "ssim": 10.0,
    "style": 1e4,
    "feature": 10.0,
    "total_variation": 1e-5,
    "channels": 500.0,
}
_OMGD_VGG16 = (3, 8, 15, 22)  # relu1_2, relu2_2, relu3_3, relu4_3
_RELU2_2 = 1  # place among them


class TeacherChoice(Section):
    """Whose images the student learns.

    Attributes:
        checkpoint: a file of ours, or imported.
        direction: "a_to_b" or "b_to_a"; None takes the checkpoint's first.
        sha256: of the file; a run goes on with this teacher alone. "" is filled in.
    """

    checkpoint: str = ""
    direction: str | None = None
    sha256: str = ""


class DistillConfig(Section):
    """The defaults are those of GAN Compression's code; `variant` omgd has its own.

    Attributes:
        variant: whose defaults the fields have that are not given.
        student: an image generator: a ResNet or U-Net of small width, gain_light_image, ….
        discriminator: None goes on with the teacher's if its checkpoint has one, and takes
            patchgan_70 otherwise.
        gan: None is the teacher's own with its discriminator, and hinge otherwise.
        paired: the images are pairs: the truth is the target of `recon`, and the discriminator sees
            the source too.
        recon: weight of L1 to the target.
        features: weight of the squared distance at four stages.
        gan_weight: weight of the adversarial term; 0 has no discriminator.
        ssim: weight of 1 - SSIM to the teacher's image.
        style: weight of L1 between Gram matrices of VGG16's features.
        feature: weight of L1 between VGG16's relu2_2.
        total_variation: weight of the sum of differences between the student's pixels.
        channels: weight of channel distillation; OMGD has 500 for ResNets, 50 for U-Nets.
        vgg_weights: torchvision's vgg16-397923af.pth, for style and feature.
    """

    variant: Literal["gan_compression", "omgd"] = "gan_compression"
    teacher: TeacherChoice = TeacherChoice()
    student: NetworkChoice = NetworkChoice(name="resnet_9blocks", settings={"width": 16})
    discriminator: NetworkChoice | None = None
    gan: losses.GanKind | None = None
    paired: bool = False
    recon: NonNegativeFloat = 100.0
    features: NonNegativeFloat = 1.0
    gan_weight: NonNegativeFloat = 1.0
    ssim: NonNegativeFloat = 0.0
    style: NonNegativeFloat = 0.0
    feature: NonNegativeFloat = 0.0
    total_variation: NonNegativeFloat = 0.0
    channels: NonNegativeFloat = 0.0
    vgg_weights: str | None = None
    optimizer: Adam = Adam()
    schedule: LinearDecay = LinearDecay()

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_variant(cls, given: Any) -> Any:
        omgd = isinstance(given, dict) and given.get("variant") == "omgd"
        return {**_OMGD, **given} if omgd else given


class Distill(Scheduled, Stateless):
    """Batches hold "a" and "b", aligned where `paired`; the student has its teacher's direction."""

    def __init__(self, config: DistillConfig, teacher: Teacher) -> None:
        if not (config.recon or config.ssim or config.style or config.feature):
            raise UsageError("nothing ties the student's image to its teacher's: set distill.recon")
        self.config, self.teacher, self.schedule = config, teacher, config.schedule
        self.student = config.student.build()
        if not is_image_generator(self.student):
            raise UsageError(
                f"got the student {config.student.name}, expected an image generator such as "
                "resnet_9blocks, resnet_edge, unet_256 or gain_light_image"
            )
        self._recorders = self._record_stages() if config.features or config.channels else None
        self._distances = self._build_distances()
        self.modules: dict[str, nn.Module] = {
            "student": self.student,
            **{f"{name}_adapters": distance for name, distance in self._distances.items()},
        }
        for network in self.modules.values():
            initialize(network, "normal")
        self.optimizers: dict[str, Optimizer] = {
            "student": config.optimizer.build(*self.modules.values())
        }
        self.gan = config.gan or "hinge"
        self.discriminator = self._build_discriminator() if config.gan_weight else None
        if self.discriminator is not None:
            self.modules["discriminator"] = self.discriminator
            self.optimizers["discriminator"] = config.optimizer.build(self.discriminator)
        self._vgg = self._open_vgg() if config.style or config.feature else None
        self.translators = {teacher.direction: "student"}

    def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
        """Update the student with its adapters, then the discriminator on what was made before."""
        source, real = (batch[self.teacher.direction[place]] for place in (0, -1))
        taught = self.teacher(source)
        fake = self.student(source)
        terms = self._image_terms(source, real, taught, fake.float()) | self._stage_terms()
        update("student", torch.stack([*terms.values()]).sum())
        if self.discriminator is not None:
            scores = (
                self.discriminator(self._judged(source, image)) for image in (real, fake.detach())
            )
            terms["d"] = 0.5 * losses.discriminator_gan(self.gan, *scores)
            update("discriminator", terms["d"])
        return {name: term.detach() for name, term in terms.items()}

    def _image_terms(
        self, source: Tensor, real: Tensor, taught: Tensor, fake: Tensor
    ) -> dict[str, Tensor]:
        config, terms = self.config, {}
        if config.recon:
            target = real if config.paired else taught
            terms["recon"] = config.recon * functional.l1_loss(fake, target)
        if config.ssim:
            terms["ssim"] = config.ssim * losses.ssim_distance(fake, taught)
        if self._vgg is not None:
            seen, made = self._vgg.features(taught, fake)
            terms["style"] = config.style * losses.style_l1(seen, made)
            terms["feature"] = config.feature * functional.l1_loss(made[_RELU2_2], seen[_RELU2_2])
        if config.total_variation:
            terms["tv"] = config.total_variation * losses.total_variation(fake)
        if self.discriminator is not None:
            with frozen(self.discriminator):
                scores = self.discriminator(self._judged(source, fake))
            terms["g_gan"] = config.gan_weight * losses.generator_gan(self.gan, scores)
        return terms

    def _stage_terms(self) -> dict[str, Tensor]:
        """Return by what the last run of both networks differed inside."""
        if self._recorders is None:
            return {}
        mine, theirs = (recorder.take() for recorder in self._recorders)
        return {
            name: getattr(self.config, name) * distance(mine, theirs)
            for name, distance in self._distances.items()
        }

    def _judged(self, source: Tensor, image: Tensor) -> Tensor:
        return torch.cat([source, image], 1) if self.config.paired else image

    def _record_stages(self) -> tuple[StageRecorder, StageRecorder]:
        mine, theirs = StageRecorder(self.student), StageRecorder(self.teacher.network)
        if mine.kind is None or mine.kind != theirs.kind:
            raise UsageError(
                f"the stages of a {type(self.student).__name__} and of the teacher's "
                f"{type(self.teacher.network).__name__} cannot be compared: set distill.features "
                "and distill.channels to 0"
            )
        return mine, theirs

    def _build_distances(self) -> dict[str, StageDistance]:
        """Return the adapters of "features" and "channels", whichever have a weight."""
        if self._recorders is None:
            return {}
        side = math.lcm(64, self.teacher.multiple, int(getattr(self.student, "multiple", 1)))
        blank = torch.zeros(1, 3, side, side)
        self.student.eval()  # this image is none to take statistics of
        with torch.no_grad():
            self.student(blank)
            self.teacher(blank)
        self.student.train()
        mine, theirs = ([x.shape[1] for x in recorder.take()] for recorder in self._recorders)
        channels = list(zip(mine, theirs, strict=True))
        return {
            name: StageDistance(channels, means=name == "channels")
            for name in ("features", "channels")
            if getattr(self.config, name)
        }

    def _open_vgg(self) -> LazyVgg:
        if self.config.vgg_weights is None:
            raise UsageError(
                "distill.style and distill.feature need VGG16: set distill.vgg_weights to the path "
                "of torchvision's vgg16-397923af.pth, or both to 0 and distill.recon to 100"
            )
        return LazyVgg("vgg16", self.config.vgg_weights, _OMGD_VGG16)

    def _build_discriminator(self) -> nn.Module:
        """Return the configured one, or the teacher's with its weights, or a new PatchGAN."""
        planes = 6 if self.config.paired else 3
        judge = self.teacher.judge
        if self.config.discriminator is None and judge is not None and judge.planes == planes:
            self.gan = self.config.gan or judge.gan
            discriminator = judge.choice.build()
            discriminator.load_state_dict(judge.weights)
            return discriminator
        choice = self.config.discriminator or NetworkChoice(name="patchgan_70")
        discriminator = choice.build(in_channels=planes)
        initialize(discriminator, "normal")
        return discriminator
