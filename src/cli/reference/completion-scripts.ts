/*
 * The scripts that shells run at the Tab key. None of them knows a command: each asks the program itself, which
 * prints lines of a word and, after a tab, its meaning; ":files" where the shell offers files.
 */
export const SCRIPTS = {
  // Bash splits words at "=", ":" and "@" too, and replaces only the last part.
  bash: `_holdfast() {
  local line=\${COMP_LINE:0:COMP_POINT} last=\${COMP_WORDS[COMP_CWORD]} current found it
  local -a words
  read -ra words <<<"$line"
  [[ $line != *[[:space:]] ]] || words+=('')
  current=\${words[-1]}
  [[ $last != [=:@] ]] || last=
  COMPREPLY=()
  while IFS= read -r it; do
    it=\${it%%$'\\t'*}
    if [[ $it == :files ]]; then compopt -o default
    elif [[ $it == "$current"* ]]; then COMPREPLY+=("\${it#"\${current%"$last"}"}"); fi
  done < <("\${words[0]}" completion words -- "\${words[@]:1}" 2>/dev/null)
}
complete -F _holdfast holdfast
`,
  // _describe takes "word:meaning", with a backslash before a colon of the word. At its first use a file in fpath is
  // itself the function: it passes that use on to the function that it defines.
  zsh: `#compdef holdfast
_holdfast() {
  local it
  local -a found
  while IFS= read -r it; do
    if [[ $it == :files ]]; then _files
    elif [[ $it == *$'\\t'* ]]; then found+=("\${\${it%%$'\\t'*}//:/\\\\:}:\${it#*$'\\t'}")
    else found+=("\${it//:/\\\\:}"); fi
  done < <("\${words[1]}" completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#found )) && _describe holdfast found
}
if [[ $funcstack[1] == _holdfast ]]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`,
  fish: `function __holdfast
  set -l words (commandline -opc) (commandline -ct)
  for it in ($words[1] completion words -- $words[2..-1] 2>/dev/null)
    if test "$it" = :files
      __fish_complete_path (commandline -ct)
    else
      echo $it
    end
  end
end
complete -c holdfast -f -a '(__holdfast)'
`,
} as const;
