"""What a run was made with: commit, threads."""

import subprocess

import pytest

from mmdistill_tools.runs import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with the package's folders; returns its root and git."""

    def git(*arguments):
        name = ('-c', 'user.name=a', '-c', 'user.email=a@b.c')
        command = ['git', '-C', str(tmp_path), *name, *arguments]
        subprocess.run(command, check=True, capture_output=True)

    for folder in ('mmdistill_dense', 'configs', 'tools', 'docs'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'file').write_text('old')
    git('init')
    git('add', '.')
    git('commit', '-m', 'all')
    monkeypatch.setattr(provenance, 'package_root', lambda: str(tmp_path))
    return tmp_path


def test_results_are_no_change_of_the_code(checkout):
    revision = provenance.commit()
    assert len(revision) == 12
    (checkout / 'docs' / 'file').write_text('new')
    assert provenance.commit() == revision


@pytest.mark.parametrize('name', ['file', 'new_file'])
def test_changed_and_new_code_is_marked(checkout, name):
    revision = provenance.commit()
    (checkout / 'configs' / name).write_text('new')
    assert provenance.commit() == f'{revision}-dirty'


def test_a_repository_around_an_installed_package_is_not_its_own(
    checkout, monkeypatch
):
    folder = checkout / 'mmdistill_dense'
    monkeypatch.setattr(provenance, 'package_root', lambda: str(folder))
    assert provenance.commit() is None


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv('PATH', str(checkout))
    assert provenance.commit() is None


def test_the_threads_of_a_slot_count(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '8')
    made = provenance.collect_provenance(3, dict(OMP_NUM_THREADS='2')).machine
    assert (made['omp_num_threads'], made['runs_at_once']) == ('2', 3)
    assert (
        provenance.collect_provenance(1, {}).machine['omp_num_threads'] == '8'
    )
