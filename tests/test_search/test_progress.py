"""The progress of a search."""
import io

from rich.console import Console

from mmnasfpn.search import progress as module
from mmnasfpn.search.progress import Progress


def shown(monkeypatch, is_terminal, run, *arguments):
    output = io.StringIO()
    console = Console(file=output, force_terminal=is_terminal, width=80)
    monkeypatch.setattr(module, 'Console', lambda: console)
    with Progress(*arguments) as progress:
        run(progress)
    return output.getvalue()


def test_the_numbers_are_those_of_all_runs():
    progress = Progress(10, [0.2, 0.4], ['a', 'b'], 1)
    assert progress.text == 'best 0.400, mean of the last 2 0.300, 100% different, time left unknown'
    progress.complete(0.9, 'a')
    progress.end_trial()
    assert progress.text.startswith('best 0.900, mean of the last 3 0.500, 67% different, 0:00:')


def test_the_time_left_follows_from_the_trials_of_this_run(monkeypatch):
    seconds = [0]
    monkeypatch.setattr(module, 'Console', lambda: Console(get_time=lambda: seconds[0]))
    progress = Progress(10, [0.2] * 4, list('abcd'), 0)
    for seconds[0] in (1000, 2000):
        progress.complete(0.5, 'e')
    assert progress.text.endswith('1:06:40 left')  # 4 more of 1000 seconds each


def test_a_terminal_shows_a_bar_and_the_numbers_at_any_width(monkeypatch):
    output = shown(monkeypatch, True, lambda progress: progress.complete(0.5, 'a'), 20, [], [], 0)
    assert '1/20' in output and 'best 0.500, mean of the last 1 0.500, 100% different' in output
    assert '…' not in output


def test_a_log_file_gets_lines(monkeypatch):
    output = shown(monkeypatch, False, lambda progress: progress.complete(0.5, 'a'), 20, [], [], 0)
    assert output.startswith('1 of 20 trials: best 0.500') and '\x1b' not in output


def test_before_the_first_reward_there_is_none(monkeypatch):
    assert 'no reward yet' in shown(monkeypatch, False, lambda progress: None, 20, [], [], 0)
