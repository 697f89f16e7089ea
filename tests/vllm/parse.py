"""Has vLLM's own parser read command lines: JSON lists of words on standard input, a verdict a line on standard output.

Run by the Python of a vLLM environment.
"""

import contextlib
import io
import json
import sys

import vllm
from vllm.entrypoints.cli.serve import cmd_init
from vllm.utils.argparse_utils import FlexibleArgumentParser


def verdict(parser, argv) -> dict:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = parser.parse_args(argv)
    except SystemExit:
        return {"accepted": False, "said": said.getvalue()}
    keep = ("model_tag", "model", "served_model_name", "tensor_parallel_size", "max_model_len", "host", "port")
    return {"accepted": True, "version": vllm.__version__, **{name: getattr(parsed, name) for name in keep}}


def main() -> None:
    parser = FlexibleArgumentParser(prog="vllm")
    commands = parser.add_subparsers(required=True, dest="subparser")
    for command in cmd_init():
        command.subparser_init(commands)
    for line in sys.stdin:
        print(json.dumps(verdict(parser, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
