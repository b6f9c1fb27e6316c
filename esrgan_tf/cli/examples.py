"""Examples that `--help` prints for each command, ready to copy."""

EXAMPLES = {
    "train": (
        "train --phase psnr --run_dir runs/photos --set data.source=folder --set data.hr_dir=photos",
        "train --phase gan --run_dir runs/photos --max_hours 8",
        "train --phase gan --run_dir runs/tuned --init_from realesr-general-x4v3.pth --set data.source=folder "
        "--set data.hr_dir=photos",
    ),
    "status": (
        "status runs/photos",
        "status runs/photos --output curves.png",
    ),
    "export": (
        "export --run_dir runs/photos --output exports/photos",
        "export --run_dir runs/photos --alpha 0.5 --output exports/half --archive half.tar.gz",
        "export --model realesr-general-x4v3.pth --output exports/general",
        "export --model photo --output photo.tflite --tile 128 --weights dynamic",
        "export --run_dir runs/photos --output photos.onnx",
    ),
    "upscale": (
        "upscale photo.jpg",
        "upscale photo.jpg --output large.png --model realesr-general-x4v3.pth",
        "upscale photos --recursive --output large --model runs/photos --skip_existing",
        "upscale - --output - --format png --model exports/photos < photo.png > large.png",
    ),
    "web": (
        "web",
        "web --port 8000 --model runs/photos --model RealESRGAN_x4plus.pth",
    ),
    "models": (
        "models --search anime",
        "models --download realesr-general-x4v3",
    ),
    "evaluate": (
        "evaluate --model runs/photos --hr_dir Set5/hr",
        "evaluate --model realesr-general-x4v3.pth --hr_dir Set5/hr --lr_dir Set5/lr_x4 --report set5.json "
        "--comparison_grid set5.png",
    ),
    "degrade": (
        "degrade photo.png degraded.png --seed 3",
        "degrade photos degraded --config configs/real_esrgan.yaml",
    ),
    "convert": (
        "convert RealESRGAN_x4plus.pth realesrgan",
        "convert runs/photos/gan/generator.keras photos.safetensors",
        "convert RealESRGAN_x4plus.pth realesrgan.onnx",
        "convert realesr-general-wdn-x4v3.pth realesr-general-x4v3.pth --alpha 0.5 --output half_denoised",
    ),
}

# The most frequent tasks: upscaling, training, conversion.
TYPICAL = (EXAMPLES["upscale"][0], EXAMPLES["train"][0], EXAMPLES["convert"][0])


def format_examples(examples: tuple[str, ...]) -> str:
    """The lines of the examples in `--help`."""
    return "\n".join(f"  esrgan-tf {example}" for example in examples)
