"""Scripts that complete the command line in a shell: verbs, models, options, and their choices.

All that can be completed is written into the script, so that no Python runs at a press of Tab.
"""

from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import FlagCreatePairsOff, Positional

from aelab.cli import choosing, export_options
from aelab.cli import options as of_verbs
from aelab.models.zoo import NETWORKS, PRIORS, ZOO, resolve
from aelab.studies import asked

Offers = dict[str, tuple[str, ...]]
"""What comes next, by what stands before: nothing, ``VERB``, ``VERB -``, ``train MODEL -``, or
``VERB --option``."""

BASH_AND_ZSH = """_aelab_offers() {{
    case "$1" in
{cases}
    esac
}}
_aelab_offered() {{ # the words before the one to be completed, and that one
    local current="${{@: -1}}" before="${{@: -2:1}}"
    if [ $# = 2 ]; then _aelab_offers ''
    elif [ $# = 3 ] && [ "$2" = train ]; then _aelab_offers train
    elif [[ "$before" == -* ]] && [ -n "$(_aelab_offers "$2 $before")" ]; then
        _aelab_offers "$2 $before"
    elif [[ "$current" == -* && "$2" == train ]]; then
        _aelab_offers "train $3 -" | grep . || _aelab_offers 'train -'
    elif [[ "$current" == -* ]]; then _aelab_offers "$2 -"
    fi
}}
"""

BASH = """# Completes aelab in bash: source it, or save it as
# ~/.local/share/bash-completion/completions/aelab
{common}_aelab() {{
    local words="$(_aelab_offered "${{COMP_WORDS[@]:0:COMP_CWORD+1}}")"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _aelab aelab
"""

ZSH = """#compdef aelab
# Completes aelab in zsh: save it as _aelab in a folder of $fpath, or source it after compinit.
{common}_aelab() {{
    local offered="$(_aelab_offered "${{(@)words[1,CURRENT]}}")"
    if [ -n "$offered" ]; then compadd -- ${{=offered}}; else _files; fi
}}
if [ "$funcstack[1]" = _aelab ]; then _aelab "$@"; else compdef _aelab aelab; fi
"""

FISH = """# Completes aelab in fish: save it as ~/.config/fish/completions/aelab.fish
function _aelab_offers
    switch "$argv[1]"
{cases}
    end
end
function _aelab_offered
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l verb $before[2]
    set -l found
    if test (count $before) = 1
        set found (_aelab_offers '')
    else if test (count $before) = 2 -a "$verb" = train
        set found (_aelab_offers train)
    else if string match -q -- '-*' $before[-1]
        set found (_aelab_offers "$verb $before[-1]")
    end
    if test -z "$found"; and string match -q -- '-*' $current
        if test "$verb" = train
            set found (_aelab_offers "train $before[3] -")
            test -n "$found"; or set found (_aelab_offers 'train -')
        else
            set found (_aelab_offers "$verb -")
        end
    end
    if test -n "$found"
        string split ' ' -- $found
    else
        __fish_complete_path $current
    end
end
complete -c aelab -f -a '(_aelab_offered)'
"""


def script(shell: str, verbs: Iterable[str]) -> str:
    """The script for a shell: bash, zsh or fish.

    >>> print(script("fish", ["runs"]).splitlines()[0])
    # Completes aelab in fish: save it as ~/.config/fish/completions/aelab.fish
    """
    found = offers(tuple(verbs))
    if shell == "fish":
        lines = [f"        case '{key}'; echo '{' '.join(of)}'" for key, of in found.items()]
        return FISH.format(cases="\n".join(lines))
    lines = [f"        '{key}') echo '{' '.join(of)}' ;;" for key, of in found.items()]
    common = BASH_AND_ZSH.format(cases="\n".join(lines))
    return {"bash": BASH, "zsh": ZSH}[shell].format(common=common)


def offers(verbs: tuple[str, ...]) -> Offers:
    """Everything that can be completed; of several models' options of one name, every choice."""
    found: Offers = {"": verbs}
    for verb in verbs:
        if verb == "train":
            add_models(found)
        elif (options := options_of(verb)) is not None:
            add(found, verb, f"{verb} -", options)
    return found


def add_models(found: Offers) -> None:
    """What ``aelab train`` offers: of a model that is not known here, what all models have."""
    of_models = {name: asked.train_options(resolve(name)) for name in ZOO}
    for name, options in of_models.items():
        add(found, "train", f"train {name} -", options)
    own = [found[f"train {name} -"] for name in ZOO]
    found |= {
        "train": tuple(ZOO),
        "train --network": tuple(NETWORKS),
        "train --prior": tuple(PRIORS),
        "train -": tuple(flag for flag in own[0] if all(flag in flags for flags in own)),
    }


def options_of(verb: str) -> type[Any] | None:
    """A verb's class of options, which is called after it; a verb without any has none."""
    if verb == "choose":  # takes those of data as well
        return choosing.options()
    rooms = (of_verbs, asked, export_options)
    name = f"{verb.title()}Options"
    return next((getattr(room, name) for room in rooms if hasattr(room, name)), None)


def add(found: Offers, verb: str, key: str, options: type[Any]) -> None:
    """Put a class's options under a key, and the choices of each under the option."""
    flags = dict(choices_by_flag(options))
    found[key] = tuple(flags)
    for flag, choices in flags.items():
        if choices:
            before = found.get(f"{verb} {flag}", ())
            found[f"{verb} {flag}"] = tuple(dict.fromkeys((*before, *choices)))


def choices_by_flag(options: type[Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each option as it is typed, with the values that it can have if they are few."""
    yield from (("-h", ()), ("--help", ()))
    hints = get_type_hints(options, include_extras=True)
    for name, annotated in ((one.name, hints[one.name]) for one in fields(options)):
        hint, marks = unwrapped(annotated)
        if is_dataclass(hint):  # a group of options
            assert isinstance(hint, type)
            yield from list(choices_by_flag(hint))[2:]
        elif Positional not in marks:
            yield from ((flag, choices(hint)) for flag in flags(name, marks))
            if hint is bool and FlagCreatePairsOff not in marks:
                yield f"--no-{name.replace('_', '-')}", ()


def flags(name: str, marks: tuple[Any, ...]) -> Iterator[str]:
    """What an option is called, by itself or by its mark, and its shorter names."""
    for mark in marks:
        name = getattr(mark, "name", None) or name
        yield from getattr(mark, "aliases", None) or ()
    yield f"--{name.replace('_', '-')}"


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401
    """A type without its annotations, and those."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    return hint.__origin__, hint.__metadata__


def choices(hint: Any) -> tuple[str, ...]:  # noqa: ANN401
    """The words that a type allows, on their own, in a list, or besides none.

    >>> choices(tuple[Literal["a", "b"], ...]), choices(int | None)
    (('a', 'b'), ())
    """
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    return tuple(word for inner in get_args(hint) for word in choices(inner))
