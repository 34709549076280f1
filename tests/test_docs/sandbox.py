"""A folder that looks like a checkout, in which a page's blocks are run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdistill_dense.models.utils import build_model
from tests.helpers.log import heard
from tests.helpers.tool_runs import environment, free_port

from . import stand_ins
from .blocks import ROOT, Block, missing

#: Exported variables and the folder pass from block to block, as in a shell.
SHELL = """[ ! -e "$STATE" ] || . "$STATE"
{text}
{{ export -p; printf 'cd %q\\n' "$PWD"; }} >"$STATE"
"""


class Sandbox:
    """Where the blocks of one page are run, one after the other.

    Args:
        folder: An empty folder.
        page: The page, for its stand-ins.
    """

    def __init__(self, folder: Path, page: str) -> None:
        self.folder = folder / 'checkout'
        shutil.copytree(ROOT / 'configs', self.folder / 'configs')
        (self.folder / 'tools').symlink_to(ROOT / 'tools')
        # The environment is that of the tests.
        activate = self.folder / '.venv' / 'bin' / 'activate'
        activate.parent.mkdir(parents=True)
        activate.touch()
        commands = stand_ins.write(folder / 'bin', page)
        places = [commands, Path(sys.executable).parent, os.environ['PATH']]
        self.env = {
            **environment(),
            'PATH': os.pathsep.join(map(str, places)),
            'STATE': str(folder / 'state'),
            'COLUMNS': '79',
            'PORT': str(free_port()),
        }
        self.printed = ''
        if page in stand_ins.PREPARED:
            stand_ins.PREPARED[page](self.folder)

    def run(self, block: Block) -> None:
        """Do what a reader does with a block; fail the test if it fails."""
        text = stand_ins.changed(block)
        if block.kind == 'config':
            self._build(block, text)
        elif block.kind == 'code':
            self._start(block, sys.executable, '-c', text)
        elif block.kind == 'command':
            options = ('-e', '-u', '-o', 'pipefail', '-c')
            self._start(block, 'bash', *options, SHELL.format(text=text))
        else:
            rough = block.kind == 'rough output'
            line = missing(text, self.printed, rough)
            if line is not None:
                pytest.fail(
                    f'{block}: not printed here: {line!r}\n{self.printed}'
                )

    def _start(self, block: Block, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        self.printed = done.stdout
        if done.returncode:
            pytest.fail(f'{block}: exit {done.returncode}\n{self.printed}')

    def _build(self, block: Block, text: str) -> None:
        """Write the config down, read it as a user does and build it."""
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        cfg = Config.fromfile(path)
        init_default_scope(cfg.default_scope)
        lines = heard()
        here = os.getcwd()
        os.chdir(self.folder)
        try:
            build_model(cfg)
        finally:
            os.chdir(here)
        self.printed = '\n'.join(lines)
