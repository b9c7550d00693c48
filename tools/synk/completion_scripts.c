/*
 * The scripts behind the generated tables. In both, _synk_table VERB sets `options`, `valued`
 * (those that take a value) and `arguments` (by position). What runs and units there are is asked
 * of the supervisor at the moment; where none runs, nothing is said.
 */
#include "tools/synk/completion.h"

/* Choices for an option's value, the same in both shells: `choices`, or `files` set. */
#define VALUES                                                                                     \
    "_synk_value() {\n"                                                                            \
    "  case $1 in\n"                                                                               \
    "    --unit) choices=$(_synk_ids) ;;\n"                                                        \
    "    --run) choices=$(_synk_runs) ;;\n"                                                        \
    "    --dir|--plugin-dir|--local|--events|--state|--each-line) files=1 ;;\n"                    \
    "    --kind) choices=$'worker\\nprocess' ;;\n"                                                 \
    "    --status) choices=$'idle\\nrunning\\nerror\\ncompleted\\npaused\\nqueued\\nsucceeded\\n'" \
    "$'failed\\ncancelled\\nskipped' ;;\n"                                                         \
    "    --type) choices=$'start\\ncomplete\\nerror\\nmilestone\\nupdated\\nrun\\nskip\\nretry\\n" \
    "cancel\\nhost\\nstale' ;;\n"                                                                  \
    "  esac\n"                                                                                     \
    "}\n"                                                                                          \
    "_synk_ids() {\n"                                                                              \
    "  command synk \"${directory[@]}\" ls units --json 2>/dev/null |\n"                           \
    "    sed -n 's/^{\"id\":\"\\([^\"\\\\]*\\)\".*/\\1/p'\n"                                       \
    "}\n"                                                                                          \
    "_synk_runs() {\n"                                                                             \
    "  command synk \"${directory[@]}\" ls runs --json 2>/dev/null |\n"                            \
    "    sed -n 's/^{\"run\":\"\\([^\"\\\\]*\\)\".*/\\1/p'\n"                                      \
    "}\n"                                                                                          \
    "_synk_workers() {\n"                                                                          \
    "  command synk \"${directory[@]}\" ls workers --unit \"${1%#*}\" --json 2>/dev/null |\n"      \
    "    sed -n 's/^{\"worker\":\"\\([^\"\\\\]*\\)\".*/\\1/p'\n"                                   \
    "}\n"                                                                                          \
    "_synk_argument() {\n"                                                                         \
    "  case $1 in\n"                                                                               \
    "    *ID*) choices+=$'\\n'$(_synk_ids) ;;\n"                                                   \
    "  esac\n"                                                                                     \
    "  case $1 in\n"                                                                               \
    "    *RUN*) choices+=$'\\n'$(_synk_runs) ;;\n"                                                 \
    "  esac\n"                                                                                     \
    "  case $1 in\n"                                                                               \
    "    *FILE*) files=1 ;;\n"                                                                     \
    "    WORKER*) choices=$(_synk_workers \"$2\") ;;\n"                                            \
    "    *[A-Z]*) ;;\n"                                                                            \
    "    *) choices=${1//|/$'\\n'} ;;\n"                                                           \
    "  esac\n"                                                                                     \
    "}\n"                                                                                          \
    "# What may stand behind the words given: sets choices and files.\n"                           \
    "_synk_choose() {\n"                                                                           \
    "  local verb='' first='' word previous='' options='' valued='--dir --connect' arguments=''\n" \
    "  local position=0 argument='' current=$1\n"                                                  \
    "  shift\n"                                                                                    \
    "  directory=() choices='' files=''\n"                                                         \
    "  for word in \"$@\"; do\n"                                                                   \
    "    if [[ -n $previous ]]; then\n"                                                            \
    "      [[ $previous == --dir || $previous == --connect ]] &&\n"                                \
    "        directory+=(\"$previous\" \"$word\")\n"                                               \
    "      previous=''\n"                                                                          \
    "    elif [[ \" $valued \" == *\" $word \"* ]]; then\n"                                        \
    "      previous=$word\n"                                                                       \
    "    elif [[ $word == --dir=* || $word == --connect=* ]]; then\n"                              \
    "      directory+=(\"$word\")\n"                                                               \
    "    elif [[ $word == -* ]]; then\n"                                                           \
    "      :\n"                                                                                    \
    "    elif [[ -z $verb ]]; then\n"                                                              \
    "      verb=$word\n"                                                                           \
    "      _synk_table \"$verb\"\n"                                                                \
    "    else\n"                                                                                   \
    "      position=$((position + 1))\n"                                                           \
    "      first=${first:-$word}\n"                                                                \
    "    fi\n"                                                                                     \
    "  done\n"                                                                                     \
    "  if [[ -n $previous ]]; then\n"                                                              \
    "    _synk_value \"$previous\"\n"                                                              \
    "  elif [[ $current == --*=* ]]; then\n"                                                       \
    "    _synk_value \"${current%%=*}\"\n"                                                         \
    "  elif [[ -z $verb && $current == -* ]]; then\n"                                              \
    "    choices=$'--dir\\n--connect\\n--json\\n--help\\n--version'\n"                             \
    "  elif [[ -z $verb ]]; then\n"                                                                \
    "    choices=${_synk_verbs// /$'\\n'}\n"                                                       \
    "  elif [[ $current == -* ]]; then\n"                                                          \
    "    choices=${options// /$'\\n'}\n"                                                           \
    "  else\n"                                                                                     \
    "    while [[ -n $arguments ]]; do\n"                                                          \
    "      argument=${arguments%% *}\n"                                                            \
    "      [[ $position == 0 || $argument == *… ]] && break\n"                                   \
    "      [[ $arguments == *' '* ]] || arguments='' argument=''\n"                                \
    "      arguments=${arguments#* }\n"                                                            \
    "      position=$((position - 1))\n"                                                           \
    "    done\n"                                                                                   \
    "    [[ -n $argument ]] && _synk_argument \"${argument%…}\" \"$first\"\n"                    \
    "  fi\n"                                                                                       \
    "}\n"

const char completion_bash[] =
    VALUES "_synk() {\n"
           "  local current words head tail word choices files directory\n"
           "  local line=${COMP_LINE:0:COMP_POINT}\n"
           "  read -a words <<<\"$line\"\n"
           "  if [[ $line == *[[:blank:]] ]]; then\n"
           "    current=''\n"
           "  else\n"
           "    current=${words[${#words[@]} - 1]}\n"
           "    unset \"words[${#words[@]} - 1]\"\n"
           "  fi\n"
           "  _synk_choose \"$current\" \"${words[@]:1}\"\n"
           "  [[ $current == --*=* ]] && current=${current#*=}\n"
           "  current=${current#[\\'\\\"]}\n"
           "  COMPREPLY=()\n"
           "  # readline replaces what stands behind the last of its word breaks only\n"
           "  tail=${current##*[=:]} head=${current%\"$tail\"}\n"
           "  if [[ -n $choices ]]; then\n"
           "    while IFS= read -r word; do\n"
           "      [[ -n $word && $word == \"$current\"* ]] &&\n"
           "        COMPREPLY+=(\"$(printf %q \"${word#\"$head\"}\")\")\n"
           "    done <<<\"$choices\"\n"
           "  fi\n"
           "  if [[ -n $files ]]; then\n"
           "    compopt -o filenames 2>/dev/null\n"
           "    while IFS= read -r word; do\n"
           "      COMPREPLY+=(\"${word#\"$head\"}\")\n"
           "    done < <(compgen -f -- \"$current\")\n"
           "  fi\n"
           "}\n"
           "complete -F _synk synk\n";

const char completion_zsh[] =
    VALUES "_synk() {\n"
           "  emulate -L zsh\n"
           "  local choices files\n"
           "  local -a directory given\n"
           "  given=(\"${(@Q)words[2,CURRENT-1]}\")\n"
           "  _synk_choose \"${(Q)words[CURRENT]}\" \"${given[@]}\"\n"
           "  [[ $words[CURRENT] == --*=* ]] && compset -P '*='\n"
           "  [[ -n $choices ]] && compadd -- ${(f)choices}\n"
           "  [[ -n $files ]] && _files\n"
           "}\n"
           "# Autoloaded, this file is the function's body; sourced, it only defines it.\n"
           "if [[ $funcstack[1] == _synk ]]; then _synk \"$@\"; else compdef _synk synk; fi\n";
