"""`emberline completion`: the program that a shell runs to complete a word."""

import click

from agents.cli.options import Word, emit, json_option
from agents.terminal.say import say

__all__ = ["command"]

_VARIABLE = "_EMBERLINE_COMPLETE"
_INSTALL = {
    "bash": 'eval "$(emberline completion bash)"',
    "zsh": 'eval "$(emberline completion zsh)"',
    "fish": "emberline completion fish | source",
}

_BASH = r"""_emberline_completion() {
    # a word is what lies between spaces outside of quotes: keys of sources have a colon, which bash
    # cuts at
    local line="${COMP_LINE:0:COMP_POINT}" word="" quote="" within="" kind value char cut=""
    local -i number=-1 at
    for ((at = 0; at < ${#line}; at++)); do
        char="${line:at:1}"
        if [[ -z $quote && $char == [[:space:]] ]]; then
            word="" within=""
            continue
        fi
        [[ -z $within ]] && number+=1 within=1
        word+="$char"
        if [[ $char == \\ && $quote != \' ]]; then
            at+=1
            word+="${line:at:1}"
        elif [[ $char == "$quote" ]]; then
            quote=""
        elif [[ -z $quote && $char == [\"\'] ]]; then
            quote="$char"
        fi
    done
    [[ -z $within ]] && number+=1
    [[ -z $quote && $COMP_WORDBREAKS == *:* && $word == *:* ]] && cut="${word%"${word##*:}"}"
    COMPREPLY=()
    while IFS=',' read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                # bash keeps a quote that is open, and puts what is found behind it
                case $quote in
                    \') value="${value//\'/\'\\\'\'}" ;;
                    \") value=$(sed 's/[\\"$`]/\\&/g' <<< "$value") ;;
                    *) value=$(printf '%q' "$value") ;;
                esac
                COMPREPLY+=("${value#"$cut"}") ;;
        esac
    done < <(
        export COMP_WORDS="$line" COMP_CWORD=$number _EMBERLINE_COMPLETE=bash_complete
        "$1" 2>/dev/null
    )
}
complete -o nosort -F _emberline_completion emberline
"""


@click.command(
    "completion",
    help="Print the program that completes commands, sources, tags and states in SHELL.",
    epilog='bash and zsh: eval "$(emberline completion SHELL)" in ~/.bashrc or ~/.zshrc. '
    "fish: emberline completion fish | source",
)
@click.argument("shell", type=Word(["bash", "zsh", "fish"]))
@json_option
def command(shell: str, as_json: bool) -> None:
    """Sources and tags are asked of the worker; without one nothing is completed for them."""
    program = _program(shell)
    if as_json:
        emit({"shell": shell, "program": program, "install": _INSTALL[shell]})
    else:
        for line in program.splitlines():
            say(line)


def _program(shell: str) -> str:
    from click.shell_completion import get_completion_class

    if shell == "bash":
        return _BASH
    made = get_completion_class(shell)
    if made is None:
        raise LookupError(shell)
    from agents.cli import main

    return made(main, {}, "emberline", _VARIABLE).source()
