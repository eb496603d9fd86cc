/* Completion for bash, zsh and fish, made from the table. */
#include "io/cli/cli.h"

#include <string.h>

/* "a|b|c" as "a b c". */
static void print_words(FILE *to, const char *choices)
{
    for (const char *p = choices; *p; p++)
        fputc(*p == '|' ? ' ' : *p, to);
}

/* Brief texts stand in single quotes in all three languages. */
static void print_quoted(FILE *to, const char *text, const char *also_escaped)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", to);
        else if (strchr(also_escaped, *text))
            fprintf(to, "\\%c", *text);
        else
            fputc(*text, to);
    }
}

/* ---- bash ---------------------------------------------------------------------------------*/

static void bash_option_words(FILE *to, const struct tgi_cli_option *options)
{
    for (; options->name; options++)
        fprintf(to, " --%s", options->name);
}

/* A case for each option that takes a value: its choices, folders, or nothing that can be known. */
static void bash_values(FILE *to, const char *command, const struct tgi_cli_option *options)
{
    for (; options->name; options++) {
        if (options->type == TGI_CLI_SWITCH)
            continue;
        fprintf(to, "        %s:--%s", command, options->name);
        if (options->letter)
            fprintf(to, "|%s:-%c", command, options->letter);
        fprintf(to, ") ");
        if (options->choices) {
            fprintf(to, "COMPREPLY=($(compgen -W '");
            print_words(to, options->choices);
            fprintf(to, "' -- \"$cur\"))");
        } else if (options->type == TGI_CLI_FOLDER) {
            fprintf(to, "COMPREPLY=($(compgen -d -- \"$cur\"))");
        } else if (options->type == TGI_CLI_FILE) {
            fprintf(to, "COMPREPLY=($(compgen -f -- \"$cur\"))");
        } else {
            fprintf(to, "COMPREPLY=()");
        }
        fprintf(to, "; return ;;\n");
    }
}

static void print_bash(FILE *to)
{
    fprintf(to,
            "# bash completion for tgraph; made by: tgraph completion bash\n"
            "_tgraph() {\n"
            "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=- words= i\n"
            "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
            "        case ${COMP_WORDS[i]} in\n");
    for (const struct tgi_cli_option *o = tgi_cli_globals; o->name; o++) {
        if (o->type == TGI_CLI_SWITCH)
            continue;
        fprintf(to, "            --%s", o->name);
        if (o->letter)
            fprintf(to, "|-%c", o->letter);
        fprintf(to, ") ((i++)) ;;\n");
    }
    fprintf(to,
            "            -*) ;;\n"
            "            *) command=${COMP_WORDS[i]}; break ;;\n"
            "        esac\n"
            "    done\n"
            "    case $command:$prev in\n");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (!c->is_hidden)
            bash_values(to, c->name, c->options);
    }
    bash_values(to, "*", tgi_cli_globals);
    fprintf(to,
            "    esac\n"
            "    if [[ $cur == -* ]]; then\n"
            "        case $command in\n");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (c->is_hidden || !c->options->name)
            continue;
        fprintf(to, "            %s) words='", c->name);
        bash_option_words(to, c->options);
        fprintf(to, "' ;;\n");
    }
    fprintf(to, "        esac\n        words+='");
    bash_option_words(to, tgi_cli_globals);
    fprintf(to,
            "'\n"
            "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
            "        return\n"
            "    fi\n"
            "    case $command in\n"
            "        -|help) words='");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (!c->is_hidden)
            fprintf(to, " %s", c->name);
    }
    fprintf(to, "' ;;\n");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (c->is_hidden || !c->choices)
            continue;
        fprintf(to, "        %s) words='", c->name);
        print_words(to, c->choices);
        fprintf(to, "' ;;\n");
    }
    fprintf(to,
            "        *) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
            "    esac\n"
            "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
            "}\n"
            "complete -o filenames -F _tgraph tgraph\n");
}

/* ---- zsh ----------------------------------------------------------------------------------*/

static void zsh_value(FILE *to, const struct tgi_cli_option *o)
{
    if (o->type == TGI_CLI_SWITCH)
        return;
    fprintf(to, ":");
    print_quoted(to, o->value, ":[]\\");
    fprintf(to, ":");
    if (o->choices) {
        fprintf(to, "(");
        print_words(to, o->choices);
        fprintf(to, ")");
    } else if (o->type == TGI_CLI_FILE) {
        fprintf(to, "_files");
    } else if (o->type == TGI_CLI_FOLDER) {
        fprintf(to, "_files -/");
    }
}

static void zsh_options(FILE *to, const struct tgi_cli_option *options)
{
    for (; options->name; options++) {
        const char *star = options->is_list ? "*" : "";
        fprintf(to, " \\\n                '%s--%s%s[", star, options->name, options->value ? "=" : "");
        print_quoted(to, options->brief, ":[]\\");
        fprintf(to, "]");
        zsh_value(to, options);
        fprintf(to, "'");
        if (!options->letter)
            continue;
        fprintf(to, " \\\n                '%s-%c%s[", star, options->letter, options->value ? "+" : "");
        print_quoted(to, options->brief, ":[]\\");
        fprintf(to, "]");
        zsh_value(to, options);
        fprintf(to, "'");
    }
}

static void print_zsh(FILE *to)
{
    fprintf(to,
            "#compdef tgraph\n"
            "# zsh completion for tgraph; made by: tgraph completion zsh\n"
            "_tgraph() {\n"
            "    local context state state_descr line\n"
            "    typeset -A opt_args\n"
            "    local -a commands\n"
            "    commands=(\n");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (c->is_hidden)
            continue;
        fprintf(to, "        '%s:", c->name);
        print_quoted(to, c->brief, ":\\");
        fprintf(to, "'\n");
    }
    fprintf(to,
            "    )\n"
            "    _arguments -C");
    zsh_options(to, tgi_cli_globals);
    fprintf(to,
            " \\\n                '1:command:->command' '*::operand:->operand'\n"
            "    case $state in\n"
            "        command) _describe command commands ;;\n"
            "        operand)\n"
            "            case $line[1] in\n");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (c->is_hidden)
            continue;
        fprintf(to, "            %s) _arguments", c->name);
        zsh_options(to, c->options);
        zsh_options(to, tgi_cli_globals);
        if (strcmp(c->name, "help") == 0) {
            fprintf(to, " \\\n                '1:command:(");
            for (const struct tgi_cli_command *other = tgi_cli_commands; other->name; other++)
                fprintf(to, "%s%s", other == tgi_cli_commands ? "" : " ", other->name);
            fprintf(to, ")'");
        } else if (c->choices) {
            fprintf(to, " \\\n                '1:operand:(");
            print_words(to, c->choices);
            fprintf(to, ")'");
        } else if (c->max_operands > 0) {
            fprintf(to, " \\\n                '*:file:_files'");
        }
        fprintf(to, " ;;\n");
    }
    fprintf(to,
            "            esac ;;\n"
            "    esac\n"
            "}\n"
            "_tgraph \"$@\"\n");
}

/* ---- fish ---------------------------------------------------------------------------------*/

static void fish_options(FILE *to, const char *command, const struct tgi_cli_option *options)
{
    for (; options->name; options++) {
        fprintf(to, "complete -c tgraph");
        if (command)
            fprintf(to, " -n '__fish_seen_subcommand_from %s'", command);
        fprintf(to, " -l %s", options->name);
        if (options->letter)
            fprintf(to, " -s %c", options->letter);
        if (options->choices) {
            fprintf(to, " -x -a '");
            print_words(to, options->choices);
            fprintf(to, "'");
        } else if (options->type == TGI_CLI_FILE || options->type == TGI_CLI_FOLDER) {
            fprintf(to, " -r -F");
        } else if (options->type != TGI_CLI_SWITCH) {
            fprintf(to, " -x");
        }
        fprintf(to, " -d '");
        print_quoted(to, options->brief, "\\");
        fprintf(to, "'\n");
    }
}

static void print_fish(FILE *to)
{
    fprintf(to, "# fish completion for tgraph; made by: tgraph completion fish\n");
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (c->is_hidden)
            continue;
        fprintf(to, "complete -c tgraph -n __fish_use_subcommand -f -a %s -d '", c->name);
        print_quoted(to, c->brief, "\\");
        fprintf(to, "'\n");
    }
    fish_options(to, NULL, tgi_cli_globals);
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (c->is_hidden)
            continue;
        fish_options(to, c->name, c->options);
        if (c->choices) {
            fprintf(to, "complete -c tgraph -n '__fish_seen_subcommand_from %s' -f -a '", c->name);
            print_words(to, c->choices);
            fprintf(to, "'\n");
        }
    }
}

int tgi_cli_print_completion(FILE *to, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash(to);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(to);
    else if (strcmp(shell, "fish") == 0)
        print_fish(to);
    else
        return TG_E_BAD_VALUE;
    return 0;
}

int tgi_cli_completion(struct tgi_cli *cli)
{
    if (tgi_cli_print_completion(stdout, cli->operands[0]) != 0)
        return tgi_cli_usage(cli, "no completion for shell \"%s\"; there is bash, zsh and fish",
                             cli->operands[0]);
    return TGI_EXIT_OK;
}
