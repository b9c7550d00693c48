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
    "    --dir|--plugin-dir) files=directories ;;\n"                                               \
    "    --local|--events|--state|--each-line) files=1 ;;\n"                                       \
    "    --kind) choices=$'worker\\nprocess' ;;\n"                                                 \
    "    --status)\n"                                                                              \
    "      choices=$'idle\\nrunning\\nerror\\ncompleted\\npaused'\n"                               \
    "      [[ $first == runs ]] &&\n"                                                              \
    "        choices=$'queued\\nrunning\\nsucceeded\\nfailed\\ncancelled\\nskipped'\n"             \
    "      : ;;\n"                                                                                 \
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
    "_synk_fields=$'status=\\nname=\\ndescription=\\nenabled=\\nmeta=\\nonStart=\\n'\n"            \
    "_synk_fields+=$'onComplete=\\nonError=\\nrunOnInterval=\\nintervalMs=\\nmaxRuns=\\n'\n"       \
    "_synk_fields+=$'cron=\\ntimeZone=\\ncatchUp=\\noverlap=\\nrunOnStart=\\n'\n"                  \
    "_synk_fields+=$'runOnMilestone=\\ntimeoutMs=\\nrun=\\npayload=\\ncommand=\\ncwd=\\n'\n"       \
    "_synk_fields+=$'env=\\nenvFile=\\nstdin=\\noutput=\\nmaxRetries=\\nretryDelayMs=\\n'\n"       \
    "_synk_fields+=$'progressTimeoutMs=\\nnoRetryExitCodes=\\nrequires=\\npriority=\\n'\n"         \
    "_synk_fields+=$'slots=\\nuses=\\nrunMode=\\nbatchSize=\\nisolationDelayMs=\\n'\n"             \
    "_synk_fields+=$'maxParallel=\\nmaxFailures=\\n'\n"                                            \
    "_synk_argument() {\n"                                                                         \
    "  case $1 in\n"                                                                               \
    "    *ID*) if [[ $current == */* ]]; then\n"                                                   \
    "        choices+=$'\\n'$(_synk_workers \"${current%%/*}\" | sed \"s:^:${current%%/*}/:\")\n"  \
    "      else\n"                                                                                 \
    "        choices+=$'\\n'$(_synk_ids)\n"                                                        \
    "      fi ;;\n"                                                                                \
    "  esac\n"                                                                                     \
    "  case $1 in\n"                                                                               \
    "    *RUN*)\n"                                                                                 \
    "      [[ $current == *\\#* ]] && choices+=$'\\n'\"${current%%\\#*}#last\"\n"                  \
    "      choices+=$'\\n'$(_synk_runs) ;;\n"                                                      \
    "  esac\n"                                                                                     \
    "  case $1 in\n"                                                                               \
    "    *FILE*) files=1 ;;\n"                                                                     \
    "    FIELD=*) choices=$_synk_fields ;;\n"                                                      \
    "    WORKER*) choices=$(_synk_workers \"$2\") ;;\n"                                            \
    "    *[A-Z]*) ;;\n"                                                                            \
    "    *) choices=${1//|/$'\\n'} ;;\n"                                                           \
    "  esac\n"                                                                                     \
    "}\n"                                                                                          \
    "# What may stand behind the words given: sets choices and files.\n"                           \
    "_synk_choose() {\n"                                                                           \
    "  local verb='' first='' word previous='' options='' valued='--dir --connect' arguments=''\n" \
    "  local position=0 argument='' is_local='' current=$1\n"                                      \
    "  shift\n"                                                                                    \
    "  directory=() choices='' files=''\n"                                                         \
    "  for word in \"$@\"; do\n"                                                                   \
    "    if [[ -n $previous ]]; then\n"                                                            \
    "      [[ $previous == --dir || $previous == --connect ]] &&\n"                                \
    "        directory+=(\"$previous\" \"$word\")\n"                                               \
    "      previous=''\n"                                                                          \
    "    elif [[ \" $valued \" == *\" $word \"* ]]; then\n"                                        \
    "      previous=$word\n"                                                                       \
    "      [[ $word == --local ]] && is_local=1\n"                                                 \
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
    "  elif [[ -n $is_local ]]; then\n"                                                            \
    "    : # the units are those of the file, not of a supervisor\n"                               \
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
           "    local kind=-f\n"
           "    [[ $files == directories ]] && kind=-d\n"
           "    while IFS= read -r word; do\n"
           "      COMPREPLY+=(\"${word#\"$head\"}\")\n"
           "    done < <(compgen $kind -- \"$current\")\n"
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
           "  [[ $files == directories ]] && _files -/\n"
           "  [[ $files == 1 ]] && _files\n"
           "  return 0\n"
           "}\n"
           "# Autoloaded, this file is the function's body; sourced, it only defines it.\n"
           "if [[ $funcstack[1] == _synk ]]; then _synk \"$@\"; else compdef _synk synk; fi\n";
