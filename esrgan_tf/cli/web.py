"""`esrgan-tf web`: serves a page that upscales photos, in the browser or on this computer."""

import signal
import tempfile
from pathlib import Path

from absl import flags

from esrgan_tf.cli.common import define_models_dir, parse
from esrgan_tf.errors import UserError
from esrgan_tf.file_kinds import check_weights
from esrgan_tf.quiet import quiet_tensorflow
from esrgan_tf.web.server import Server
from esrgan_tf.weights.model_names import path_of_model

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Network interface to listen on. Any other than the default lets other computers in.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "port", 8484, "Port to listen on. 0 chooses any free port.", lower_bound=0, upper_bound=65535, flag_values=FLAGS
)
flags.DEFINE_multi_string(
    "model",
    [],
    "Model to offer beside those of `esrgan-tf models`. Repeat the flag for several models. Default: no other model.",
    flag_values=FLAGS,
)
define_models_dir(FLAGS)
GROUPS = {"server": ("host", "port"), "model": ("model", "models_dir")}
# These signals end the server as Ctrl-C does. Windows has no SIGHUP.
_END_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(argv: list[str]) -> None:
    """Serves the page until Ctrl-C. See `esrgan-tf web --help`."""
    extra = parse(FLAGS, GROUPS, argv, "web [--port N] [--host H] [--model M]…")
    if extra:
        raise UserError(f"web takes flags only; what is {extra[0]!r}? To offer a model: --model {extra[0]}")
    for name in FLAGS.model:
        place = path_of_model(name, FLAGS.models_dir)
        if place.is_file():
            check_weights(place)
    for number in _END_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    backends: list = []  # filled after the port is open, as the import takes seconds
    with Server(FLAGS.host, FLAGS.port, lambda *job: backends[0].enlarge(*job)) as server, _make_folder() as folder:
        try:
            with quiet_tensorflow():
                from esrgan_tf.web.backend import Backend, page_files

            backends.append(Backend(FLAGS.model, FLAGS.models_dir))
            server.files = page_files(backends[0], Path(folder))
            server.models = [record["label"] for record in backends[0].models()]
            if not server.local_only:
                print(f"note: any computer that reaches {FLAGS.host} and has the address can use the page")
            print(f"open {server.address} (Ctrl-C ends the server)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            for number in (signal.SIGINT, *_END_SIGNALS):
                signal.signal(number, signal.SIG_IGN)  # until the files are deleted
            print("ending after the computation in progress")
    print("ended; photos and results are deleted")


def _make_folder():
    return tempfile.TemporaryDirectory(prefix="esrgan_tf_page_")
