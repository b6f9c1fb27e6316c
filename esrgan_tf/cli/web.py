"""`esrgan-tf web`: a page that enlarges photos, in the browser or by this computer."""

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
    "host", "127.0.0.1", "Interface to listen on; any other than this one lets other computers in.", flag_values=FLAGS
)
flags.DEFINE_integer(
    "port", 8484, "Port to listen on; 0 is any free one.", lower_bound=0, upper_bound=65535, flag_values=FLAGS
)
flags.DEFINE_multi_string(
    "model", [], "A model of your own to offer beside those of `models`; may be given several times.", flag_values=FLAGS
)
define_models_dir(FLAGS)
# As Ctrl-C does; a terminal that closes is no signal on Windows.
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(argv: list[str]) -> None:
    """Serves the page until Ctrl-C. See `esrgan-tf web --help`."""
    extra = parse(FLAGS, argv, "web [--port N] [--host H] [--model M]…")
    if extra:
        raise UserError(f"web takes flags only; what is {extra[0]!r}? A model is offered with --model {extra[0]}")
    for name in FLAGS.model:
        place = path_of_model(name, FLAGS.models_dir)
        if place.is_file():
            check_weights(place)
    for number in _ENDING:
        signal.signal(number, signal.default_int_handler)
    computing: list = []  # what takes seconds to import comes after the port is had
    with Server(FLAGS.host, FLAGS.port, lambda *job: computing[0].enlarge(*job)) as server, _folder() as folder:
        try:
            with quiet_tensorflow():
                from esrgan_tf.web.backend import Backend, page_files

            computing.append(Backend(FLAGS.model, FLAGS.models_dir))
            server.files = page_files(computing[0], Path(folder))
            server.models = [record["label"] for record in computing[0].models()]
            if not server.local_only:
                print(f"note: other computers that reach {FLAGS.host} can use the page, if they are told its address")
            print(f"open {server.address} (Ctrl-C ends it)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            for number in (signal.SIGINT, *_ENDING):
                signal.signal(number, signal.SIG_IGN)  # until all is deleted
            print("ending, as soon as what is being computed allows it")
    print("ended; photos and results are deleted")


def _folder():
    return tempfile.TemporaryDirectory(prefix="esrgan_tf_page_")
