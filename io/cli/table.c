/* Every command and option of the program.  Adding one is adding a row here; parsing, --help, the
 * man pages and the completions follow. */
#include "io/cli/cli.h"

#include <string.h>

#include "io/trsv_graph.h"

#define MANY UINT32_MAX
#define END {NULL, 0, TGI_CLI_SWITCH, NULL, NULL, NULL, 0, 0, false}
#define SWITCH(name, letter, brief) {name, letter, TGI_CLI_SWITCH, NULL, brief, NULL, 0, 0, false}
#define VALUE(name, letter, type, value, brief) \
    {name, letter, TGI_CLI_##type, value, brief, NULL, 0, 0, false}
#define RANGE(name, letter, value, min, max, brief) \
    {name, letter, TGI_CLI_INT, value, brief, NULL, min, max, false}
#define CHOICE(name, letter, choices, brief) \
    {name, letter, TGI_CLI_CHOICE, "WHICH", brief, choices, 0, 0, false}
#define LIST(name, letter, type, value, brief) {name, letter, TGI_CLI_##type, value, brief, NULL, 0, 0, true}

/* Options that several commands share, so that they read the same everywhere. */
#define PARAM LIST("param", 'p', ASSIGN, "NAME=EXPR", "override a value of the graph's \"params\"")
#define MAX_FILE VALUE("max-file", 0, BYTES, "SIZE", "largest .json file to read; 64MiB if not given")
#define DEVICES(brief) VALUE("devices", 'D', TEXT, "SPEC", brief)
#define COUNTED_DEVICES DEVICES("devices that ndev('cuda') counts, as for run; named ones need not be here")
#define OUTPUT(what) VALUE("output", 'o', FILE, "FILE", what)
#define PLUGINS SWITCH("allow-plugins", 0, "let kernels come from shared objects that the graph names")

const struct tgi_cli_option tgi_cli_globals[] = {
    SWITCH("help", 'h', "print help and exit"),
    SWITCH("version", 0, "print the version and exit"),
    SWITCH("quiet", 'q', "print errors only"),
    SWITCH("verbose", 'v', "say more about what is being done"),
    CHOICE("format", 0, "text|json", "form of what goes to stdout; json is one document, also of what fails; graphs and pictures stay what they are"),
    CHOICE("error-format", 0, "full|short|json", "form of errors and warnings on stderr"),
    CHOICE("color", 0, "auto|always|never", "colours; auto: on terminals, unless NO_COLOR is set"),
    CHOICE("progress", 0, "auto|bar|plain|json|none", "how far a run of more than half a second is, on stderr;"
     " auto: a bar, on terminals"),
    VALUE("directory", 'C', FOLDER, "DIR", "change to DIR first"),
    END
};

static const struct tgi_cli_option serve_options[] = {
    LIST("in", 0, TEXT, "BUFFER", "its elements are the numbers of a line; several in turn"),
    LIST("out", 0, TEXT, "BUFFER", "its elements are the answer; several in turn"),
    RANGE("teams", 0, "N", 1, 32, "groups of multiprocessors that execute lines of a graph; 4 if not given"),
    RANGE("blocks", 0, "N", 1, 1024, "multiprocessors of a team; 1 if not given"),
    RANGE("workers", 0, "N", 1, 15, "tasks that a multiprocessor executes side by side; 8 if not given"),
    PARAM,
    RANGE("device", 0, "N", 0, 63, "the GPU, as in cuda:N"),
    RANGE("sms-free", 0, "N", 0, 1024, "multiprocessors that are left to others; 4 if not given"),
    RANGE("queue", 0, "N", 2, 65536, "messages under way, a power of two; 256 if not given"),
    RANGE("message-bytes", 0, "N", 32, 65528, "the longest line; 1024 if not given"),
    VALUE("idle-exit", 0, TIME, "TIME", "the kernel leaves when it has had nothing to do for so long; 0: never; 1s if not given"),
    VALUE("timeout", 0, TIME, "TIME", "how long a line waits for its answer; 10s if not given"),
    SWITCH("metrics", 0, "print what was counted to stderr at the end"),
    END
};

static const struct tgi_cli_option top_options[] = {
    SWITCH("once", 0, "print what happens in one interval, and end"),
    VALUE("interval", 0, TIME, "TIME", "between two looks; 1s if not given"),
    END
};

static const struct tgi_cli_option run_options[] = {
    PARAM,
    DEVICES("devices to use: cpu, cpu:N for N workers, cuda, cuda:0,1, joined by +; GPUs of use and all cores if"
            " not given"),
    RANGE("repeat", 0, "N", 1, 1000000, "run N times on fresh data; times are of all of them"),
    RANGE("warmup", 0, "N", 0, 1000000, "run N times before measuring"),
    SWITCH("verify", 0, "evaluate the graph's \"checks\" on the results"),
    {"compare", 0, TGI_CLI_CHOICE, "WHAT", "also run the graph one task at a time and compare all data",
     "sequential", 0, 0, false},
    {"policy", 0, TGI_CLI_TEXT, "NAME", "who decides what runs on which device; heft and bandwidth plan ahead",
     "auto|eager|steal|heft|bandwidth", 0, 0, false},
    VALUE("plan", 0, FILE, "FILE", "follow the plan that plan -o wrote for this graph"),
    SWITCH("simulate", 0, "execute nothing: say what a virtual clock makes of it, on --machine or this machine"),
    VALUE("machine", 0, FILE, "FILE", "what calibrate has measured here: the summary says what a plan predicted; of"
     " --simulate: any machine"),
    {"executor", 0, TGI_CLI_TEXT, "NAME", "what executes the graph; auto: streams, a graph or one with resident kernels, by"
     " measured times and the number of runs; cpu or streams if not given", "auto|cpu|streams|graph|resident", 0, 0, false},
    SWITCH("keep-going", 'k', "after a failure, still run what does not depend on it"),
    VALUE("timeout", 0, TIME, "TIME", "stop a run that takes longer; 0: never"),
    SWITCH("check-nan", 0, "one task at a time, and fail the first one that writes NaN or infinity"),
    SWITCH("deterministic", 0, "one task at a time, in an order that depends on --seed alone"),
    RANGE("seed", 0, "N", 0, 0, "order of a deterministic run; 0 is program order"),
    VALUE("mem", 0, BYTES, "SIZE", "most host memory that buffers may take"),
    VALUE("device-mem", 0, BYTES, "SIZE", "most memory to use on each device; most of what is free if not given"),
    MAX_FILE,
    VALUE("save-dir", 0, FOLDER, "DIR", "where buffers with \"save\" are written; . if not given"),
    VALUE("gantt", 0, FILE, "FILE", "draw the schedule of the last run; FILE ends in .svg"),
    VALUE("record", 0, FILE, "FILE", "write the record of the last run, for report, why, diff and export; .tgr; FILE.partial stands for it"
     " while the run is under way, and stays if it is killed"),
    VALUE("trace", 0, FILE, "FILE", "write the schedule of the last run as export does, in the form that FILE ends in: svg, html, pftrace,"
     " json, csv, dot, png, pdf"),
    VALUE("checkpoint", 0, FOLDER, "DIR", "keep in DIR what has been done, so that --resume goes on from there if the run is killed"),
    VALUE("resume", 0, FOLDER, "DIR", "go on from the checkpoint in DIR, and keep it up to date"),
    VALUE("checkpoint-every", 0, TIME, "TIME", "how long to compute between two groups that are kept; if not given, a second, or as"
     " long as it takes for them to cost less than 1 %"),
    RANGE("top", 0, "N", 1, 1000, "rows of the table of kernels; 12 if not given"),
    PLUGINS,
    END
};

static const struct tgi_cli_option plan_options[] = {
    PARAM,
    COUNTED_DEVICES,
    {"policy", 0, TGI_CLI_TEXT, "NAME,..", "policies to plan with; several are compared; bandwidth if not given",
     "eager|steal|heft|bandwidth", 0, 0, false},
    VALUE("machine", 0, FILE, "FILE", "plan for the machine that FILE describes instead of this one"),
    VALUE("gpus", 0, TEXT, "N,..", "plan for that many GPUs, each number by itself"),
    VALUE("link-speed", 0, FLOAT, "X", "links that are X times as fast"),
    VALUE("memory-speed", 0, FLOAT, "X", "memories that are X times as fast"),
    {"as-run", 0, TGI_CLI_TEXT, "NAME", "also what run --machine would predict for a start after the first, on streams or as a graph",
     "streams|graph", 0, 0, false},
    VALUE("save-machine", 0, FILE, "FILE", "write the machine that is planned for to FILE"),
    OUTPUT("write the plan, the shortest of several, as JSON: where and when every task runs"),
    SWITCH("tasks", 0, "list where and when every task runs"),
    MAX_FILE,
    END
};

static const struct tgi_cli_option bench_options[] = {
    PARAM,
    DEVICES("devices to use, as for run"),
    RANGE("runs", 0, "N", 1, 1000000, "measured runs of each configuration; 10 if not given"),
    RANGE("warmup", 0, "N", 0, 1000000, "runs before that; 1 if not given"),
    VALUE("time", 0, TIME, "TIME", "begin no further run of a configuration after TIME, if there have been three"),
    LIST("matrix", 0, TEXT, "KEY=V,..", "run every combination: workers=1,2,4 executor=cpu,streams,graph,resident,auto"
     " policy=steal,heft, each with a --matrix of its own"),
    VALUE("machine", 0, FILE, "FILE", "what calibrate has measured here, for policies that plan ahead on CPUs"),
    VALUE("export-json", 0, FILE, "FILE", "write all of it, every run's time included, as JSON"),
    MAX_FILE,
    PLUGINS,
    END
};

static const struct tgi_cli_option calibrate_options[] = {
    SWITCH("quick", 0, "fewer sizes and repetitions: seconds instead of a minute"),
    LIST("kernels", 0, FILE, "FILE", "measure the kernels and sizes that the graph in FILE uses, by running it"),
    PARAM,
    DEVICES("devices to measure, as for run; all there are if not given"),
    OUTPUT("write the machine file"),
    VALUE("check", 0, FILE, "FILE", "compare with what FILE says; exit with 1 if a figure differs by more than --threshold"),
    VALUE("threshold", 0, TEXT, "PERCENT", "of --check: differences that are smaller are none; 25% if not given"),
    MAX_FILE,
    PLUGINS,
    END
};

static const struct tgi_cli_option check_options[] = {
    PARAM,
    COUNTED_DEVICES,
    SWITCH("compile", 0, "also compile the kernels that are given as C source"),
    SWITCH("werror", 0, "treat warnings as errors"),
    {"warn", 'W', TGI_CLI_TEXT, "NAME", "switch a warning on, or off as no-NAME",
     "all|none|unused|uninitialised|redundant|capacity|no-unused|no-uninitialised|no-redundant|no-capacity", 0, 0, true},
    MAX_FILE,
    PLUGINS,
    END
};

static const struct tgi_cli_option expand_options[] = {
    PARAM,
    COUNTED_DEVICES,
    OUTPUT("write to FILE, .json or .jsonl; stdout if not given"),
    SWITCH("jsonl", 0, "write JSON Lines"),
    SWITCH("stats", 0, "print what the graph consists of instead of the graph"),
    RANGE("limit", 0, "N", 1, 4000000000, "refuse graphs of more than N tasks"),
    MAX_FILE,
    END
};

static const struct tgi_cli_option export_options[] = {
    PARAM,
    COUNTED_DEVICES,
    OUTPUT("write to FILE; its extension decides the form unless --type does"),
    CHOICE("type", 't', "dot|svg|png|pdf|mermaid|json|jsonl|html|chrome|pftrace|csv",
     "form of the output; the last four are of records"),
    CHOICE("view", 0, "auto|graph|types|cuda-graph|gantt|schedule|devices|memory", "of a graph: every task, a node for each"
     " kernel, or the CUDA graph that a run on the devices here would replay; auto: types above --max-nodes.  Of a record: types or"
     " the last four; auto: gantt as svg, else schedule"),
    CHOICE("group", 0, "none|kernel|prefix", "draw boxes around tasks of a kernel, or around a[..], b[..]"),
    RANGE("max-nodes", 0, "N", 1, 10000000, "aggregate graphs of more tasks; 1500 if not given, of"
     " schedules as dot 10000"),
    VALUE("focus", 0, TEXT, "TASK", "only the neighbourhood of a task"),
    RANGE("hops", 0, "K", 0, 1000, "how far the neighbourhood of --focus reaches; 2 if not given"),
    SWITCH("critical-path", 0, "mark the longest path"),
    VALUE("time-limit", 0, TIME, "TIME", "most time for laying out a picture; 20s if not given"),
    MAX_FILE,
    END
};

static const struct tgi_cli_option gen_options[] = {
    OUTPUT("write to FILE; stdout if not given"),
    RANGE("tasks", 0, "N", 1, 1000000000, "about how many tasks; 1000 if nothing is given"),
    RANGE("width", 0, "N", 1, 1000000000, "how many tasks side by side, or tiles along an edge"),
    RANGE("steps", 0, "N", 1, 1000000000, "how many tasks one after the other"),
    RANGE("arity", 0, "N", 1, 1000000, "of tree: how many tasks each one starts; 2 if not given"),
    RANGE("radix", 0, "N", 1, 7, "of spread and nearest: in-edges of a task; 5 if not given"),
    RANGE("in-edges", 0, "N", 1, 7, "of random: in-edges of a task; 4 if not given"),
    RANGE("window", 0, "N", 1, 1000000000, "of random: how many tasks back they reach; 1000 if not given"),
    RANGE("tile", 0, "N", 1, 100000, "of cholesky and lu: edge of a tile; 128 if not given"),
    CHOICE("kernel", 0, "hash|spin|empty", "what tasks do: mix their inputs, burn time, or nothing"),
    VALUE("us", 0, FLOAT, "X", "of spin: microseconds a task burns"),
    VALUE("bytes", 0, BYTES, "SIZE", "what a task writes and its successors read"),
    VALUE("ccr", 0, FLOAT, "X", "of spin: moving --bytes at 10 GB/s takes X times --us"),
    RANGE("seed", 0, "N", 0, 0, "of random; 1 if not given"),
    SWITCH("jsonl", 0, "write JSON Lines, every task written out"),
    END
};

static const struct tgi_cli_option import_options[] = {
    OUTPUT("write to FILE; stdout if not given"),
    CHOICE("from", 0, "auto|wfformat|dot|stg|dax|mtx", "form of the input"),
    SWITCH("spin", 0, "let tasks burn the recorded times and move the recorded bytes"),
    VALUE("scale", 0, FLOAT, "X", "multiply recorded times and bytes by X"),
    RANGE("rows-per-task", 0, "N", 1, TGI_TRSV_MAX_ROWS, "of a matrix: rows of a task; up to 32 by an estimate if not given"),
    SWITCH("lower", 0, "of a matrix: take its lower triangle and leave out the rest"),
    VALUE("rhs", 0, FILE, "FILE", "of a matrix: the right-hand side, a .npy; that of a solution between 1 and 2 if not given"),
    SWITCH("jsonl", 0, "write JSON Lines"),
    END
};

static const struct tgi_cli_option fmt_options[] = {
    OUTPUT("write to FILE; stdout if not given"),
    SWITCH("in-place", 'i', "rewrite the files themselves"),
    SWITCH("check", 0, "write nothing; exit with 1 if a file is not in canonical layout"),
    END
};

static const struct tgi_cli_option init_options[] = {
    {"template", 0, TGI_CLI_TEXT, "NAME", "what to start from; hello if not given",
     "hello|cholesky|jacobi|c-api", 0, 0, false},
    SWITCH("list", 0, "list the templates"),
    END
};

static const struct tgi_cli_option devices_options[] = {
    SWITCH("tree", 0, "draw packages, NUMA nodes, caches and cores"),
    VALUE("topology", 0, TEXT, "DESC", "a hwloc description or XML file instead of this machine"),
    SWITCH("matrix", 0, "measure bandwidth and latency between memories, and within each"),
    VALUE("machine", 0, FILE, "FILE", "of --matrix: what a machine file says, instead of measuring"),
    OUTPUT("write the machine file that plan and run take; without --matrix with rough figures, and without kernels"),
    END
};

static const struct tgi_cli_option report_options[] = {
    {"by", 0, TGI_CLI_TEXT, "WHAT,..", "which tables: kernel, device, task, link; kernel,device if not given",
     "kernel|device|task|link", 0, 0, false},
    RANGE("top", 0, "N", 1, 1000000, "rows of the tables of kernels and tasks; 12 if not given"),
    VALUE("html", 0, FILE, "FILE", "write all of one record as a page for browsers, which needs no network"),
    END
};

static const struct tgi_cli_option why_options[] = {
    SWITCH("chain", 0, "also what that task waited for, and so on back to the start"),
    RANGE("top", 0, "N", 1, 1000000, "most links of the chain; 40 if not given"),
    END
};

static const struct tgi_cli_option diff_options[] = {
    PARAM,
    {"threshold", 0, TGI_CLI_TEXT, "PERCENT", "changes that are smaller are none; 3% if not given", NULL, 0, 0, false},
    CHOICE("fail-on", 0, "slower|changed", "exit with 1 if the second record's makespan is longer by more than the threshold,"
     " or if two graphs differ"),
    RANGE("top", 0, "N", 1, 1000000, "most tasks, edges or buffers to name; 12 if not given"),
    MAX_FILE,
    END
};

static const struct tgi_cli_option no_options[] = {END};

static const struct tgi_cli_option explain_options[] = {
    SWITCH("list", 0, "list all codes"),
    END
};

static const struct tgi_cli_option help_options[] = {
    SWITCH("man", 0, "print the manual page instead"),
    SWITCH("table", 0, "print the table of commands and options, a line each"),
    END
};

const struct tgi_cli_command tgi_cli_commands[] = {
    {"run", tgi_cli_run, "FILE", NULL, 1, 1, "execute a graph",
     "Runs the graph on the cores and CUDA devices of this machine and ends with a summary: how long it took, how far"
     " that is from the lower bound that the measured tasks imply, and where the time went, by worker and by kernel."
     "\n\n"
     "-D chooses the devices: cpu, cpu:N, cuda, cuda:0,1 or one of each, as in cuda:0,1+cpu:8.  A task that both can"
     " execute runs on a GPU; what only CPUs can do runs there, with cuda alone as well.  Without -D the environment"
     " variable TGRAPH_DEVICES decides, then \"devices\" of the configuration file, and without both all GPUs are used if any"
     " task can run on one, else CPUs.\n\n"
     "--check-nan executes one task at a time, in program order, on the same devices, and looks at what it wrote on the"
     " host before the next one starts: it names the first task whose output is not finite, and takes as long as all"
     " tasks one after the other, with a copy to the host of everything that is written on a device.\n\n"
     "--machine names a file that calibrate has written on this machine; if it has times for all kernels of the graph, the summary"
     " says how long a plan said that the run would take.  --simulate runs the graph against a virtual clock instead,"
     " under any policy that plan has; its record and its schedule are like those of a run.\n\n"
     "The first Ctrl-C stops issuing tasks, lets running ones finish and prints the summary of what was done;"
     " the second leaves at once.\n\n"
     "A kernel that crashes ends the program by its signal, after a line that names the task; no output file is"
     " changed then.",
     "tgraph run examples/graphs/cholesky.json --verify  # factorise and check the residual\n"
     "tgraph run graph.json -p N=1000 -D cpu:4  # another size, on four workers\n"
     "tgraph run graph.json -D cuda:0,1+cpu:8  # on two GPUs and eight workers\n"
     "tgraph run graph.json --gantt schedule.svg  # draw what ran when and where\n"
     "tgraph run graph.json --record run.tgr  # keep it, for report, why, diff and export\n"
     "tgraph run graph.json --machine machine.json  # and what a plan says\n"
     "tgraph run graph.json --plan plan.json  # what plan -o has written\n"
     "tgraph run graph.json --simulate --policy heft --record virtual.tgr  # without executing it",
     run_options, false},
    {"plan", tgi_cli_plan, "FILE", NULL, 1, 1, "schedule a graph without executing it",
     "Simulates a run on this machine, or on one that is described, and prints how long it would take, what every"
     " device does and moves, and the times that no schedule can beat: of the critical path, of the work by classes of"
     " devices (area), of the bytes through memories, of the bytes that must cross links.\n\n"
     "Policies: eager (whoever is idle takes what has been ready longest), steal (tasks go to their data, idle devices"
     " take others' oldest), heft (by upward rank to where a task is done first), bandwidth (the same with the contention of"
     " links and memories, capacity, and look-ahead).  heft and bandwidth plan ahead; a simpler policy's schedule that the"
     " simulation finds shorter takes the place of theirs, and the output says so.\n\n"
     "Times of tasks are those measured in the machine file, else declared ones (\"us\"), else follow from declared"
     " operations and bytes, else from the sizes of arguments; the output says how many are of which kind.",
     "tgraph plan graph.json --policy eager,heft,bandwidth  # compare policies\n"
     "tgraph plan graph.json -o plan.json  # keep the plan\n"
     "tgraph plan graph.json --gpus 1,2,4,8  # what if there were more GPUs\n"
     "tgraph plan graph.json --save-machine node.json  # a machine file to edit and plan for",
     plan_options, false},
    {"bench", tgi_cli_bench, "FILE..", NULL, 1, MANY, "run graphs repeatedly and say how long they take",
     "Runs each graph several times in every configuration that --matrix asks for, one after the other, and prints for each"
     " configuration the median, the distance of the quartiles (IQR), the shortest and the longest time, how many runs were"
     " outliers, and the median as a multiple of the file's first configuration.  Outliers are farther from the quartiles than one and a"
     " half times their distance; median and IQR are of the others.\n\n"
     "Times are makespans without initialisation, of runs that are not recorded.",
     "tgraph bench graph.json --runs 30  # how long does it take\n"
     "tgraph bench *.json --matrix workers=1,2,4 --time 10s  # how does it scale\n"
     "tgraph bench graph.json --matrix executor=cpu,streams --export-json times.json  # keep every time",
     bench_options, false},
    {"calibrate", tgi_cli_calibrate, "", NULL, 0, 0, "measure this machine for plans and predictions",
     "Measures what plans are made from, and writes it to a machine file: bandwidth of each NUMA node, from one thread and from"
     " all; what a task, an allocation and an event cost; for GPUs latency and bandwidth of links by size, one at a time and all at"
     " once, memory and launches; and how long kernels take, alone and beside others.\n\n"
     "Without --kernels those are built-in kernels of usual sizes; sizes between them are interpolated.  With --kernels they are"
     " those of a graph, which is run several times; with -D cuda, kernels that GPUs have are measured there alone.  -p can make it smaller, as what counts are kernels and the sizes of their"
     " arguments; but a much smaller one may fit into caches that the whole does not.\n\n"
     "Figures are medians, with outliers set aside.  Nothing else should be at work on the machine meanwhile.",
     "tgraph calibrate -o machine.json  # built-in kernels over sizes\n"
     "tgraph calibrate --kernels graph.json -p NT=6 -o machine.json  # the kernels of a graph\n"
     "tgraph calibrate --quick --check machine.json  # has anything changed since?",
     calibrate_options, false},
    {"check", tgi_cli_check, "FILE..", NULL, 1, MANY, "find mistakes in graphs without running them",
     "Looks for mistakes in syntax, names, references, shapes, types and ordering: cycles, races under"
     " explicit dependencies, reads of buffers that nothing has written.  Warns of what is declared and never"
     " used.\n\n"
     "Warnings: unused (buffers and kernels that no task uses, parameters that nothing uses), uninitialised"
     " (reads of buffers that nothing has written), capacity (buffers that do not fit into this machine's"
     " memory), redundant (control edges that others imply; off unless switched on).",
     "tgraph check *.json  # every graph here\n"
     "tgraph check graph.json --compile --werror  # as strict as it gets",
     check_options, false},
    {"expand", tgi_cli_expand, "FILE", NULL, 1, 1, "unroll templates, or count what they unroll to",
     "Writes the graph with every loop, template and expression evaluated.  The result is a graph file again."
     "\n\n"
     "With --stats prints the number of tasks and edges, the levels, the width, the critical path and the"
     " bytes.",
     "tgraph expand graph.json -o flat.jsonl  # the graph, a task a line\n"
     "tgraph expand graph.json --stats --format json  # for scripts",
     expand_options, false},
    {"export", tgi_cli_export, "FILE", NULL, 1, 1, "draw a graph or a schedule, or convert it",
     "Writes the graph as a picture or for other tools.  Pictures are laid out by Graphviz, in a child"
     " process that --time-limit bounds.  Graphs of more than --max-nodes tasks are drawn with a node for"
     " each kernel, and the picture says so.\n\n"
     "FILE may be the record of a run (run --record).  Its schedule is drawn as svg, time from left to right and a lane for each"
     " worker and stream; dot, png and pdf show the same with tasks as nodes, edges and"
     " copies.  --view types and devices draw it smaller: kernels with what waits for what, memories or workers with what went between"
     " them; --view memory draws memory over time, as svg.  pftrace is for ui.perfetto.dev, chrome for"
     " chrome://tracing, csv and json have a line for each task, html is a page for browsers as of report --html.",
     "tgraph export graph.json -o graph.svg --critical-path  # a picture\n"
     "tgraph export graph.json -t dot | dot -Tpdf > graph.pdf  # through dot by hand\n"
     "tgraph export big.json -o part.svg --focus 'gemm[5,4,3]' --hops 2  # around one task\n"
     "tgraph export graph.json --view cuda-graph -o replayed.svg  # nodes and edges of a run as a CUDA graph\n"
     "tgraph export run.tgr -o schedule.svg  # what ran when and where\n"
     "tgraph export run.tgr -o run.pftrace  # the same for Perfetto",
     export_options, false},
    {"gen", tgi_cli_gen, "PATTERN",
     "independent|chain|tree|wavefront|random|stencil1d|fft|sweep|spread|nearest|dom|cholesky|lu", 1, 1,
     "generate a synthetic graph",
     "Writes a graph of a known shape.  PATTERN is independent, chain, stencil1d, fft, sweep, tree, dom,"
     " spread, nearest (of Task Bench), wavefront, random, cholesky or lu (tiled factorisations).\n\n"
     "Tasks of --kernel hash mix the numbers of all tasks before them, so that run --compare"
     " sequential proves their order.\n\n"
     "A .json file holds loops where the pattern has any, and its sizes are parameters; JSON Lines hold every"
     " task.",
     "tgraph gen wavefront --tasks 10000 -o wavefront.json  # a square of 100 by 100 tasks\n"
     "tgraph gen random --tasks 1M --jsonl -o random.jsonl  # a large one",
     gen_options, false},
    {"import", tgi_cli_import, "FILE", NULL, 1, 1, "turn another tool's graph into one that runs",
     "Reads WfFormat 1.4 to 1.6, DOT, STG or Pegasus DAX, or a matrix, and writes a graph file.\n\n"
     "With --spin, files become buffers of their recorded size and tasks read them, burn the recorded time"
     " and write them; --scale shrinks times and sizes.  Without, tasks mix the numbers of all tasks before"
     " them, so that run --compare sequential proves their order.\n\n"
     "Of DOT these attributes are read: of a node runtime (seconds), us and category, of an edge bytes.  A"
     " unit of STG counts as a microsecond.  DOT is parsed by libcgraph and DAX by libexpat, which must be"
     " installed.\n\n"
     "A sparse lower triangular matrix L (Matrix Market: coordinate; real, integer or pattern, whose entries are 1;"
     " general or symmetric) becomes the solution of L x = b by fine tasks: each solves consecutive rows and waits for"
     " those whose unknowns they name.  What tasks read is written beside the graph, as .npy files named like it, with"
     " the solution found row after row, which run --verify compares.  A run saves x.",
     "tgraph import montage.json --spin --scale 0.001 -o montage.tgraph.json  # a workflow, 1000 times faster\n"
     "tgraph import L.mtx --rows-per-task 8 -o L.tgraph.json  # a triangular system",
     import_options, false},
    {"fmt", tgi_cli_fmt, "FILE..", NULL, 1, MANY, "lay a graph file out canonically",
     "Writes the file with canonical order and layout and without changing its meaning.",
     "tgraph fmt -i graph.json  # tidy a file\n"
     "tgraph fmt --check *.json  # in continuous integration",
     fmt_options, false},
    {"init", tgi_cli_init, "[DIR]", NULL, 0, 1, "start a project from a template",
     "Writes a small working project into DIR (the current folder if not given).  Existing files are never"
     " overwritten.",
     "tgraph init --list  # what there is\n"
     "tgraph init demo --template cholesky  # a tiled factorisation",
     init_options, false},
    {"serve", tgi_cli_serve, "[FILE]", NULL, 0, 1, "try a service that stays on a GPU",
     "Launches one kernel that stays, and sends it each line of standard input as a message.  What it answers is written to standard"
     " output, a line each; without lines for a while it leaves the GPU and comes back with the next one.\n\n"
     "A line that begins with a colon is a request: \":mix N TEXT\" has a worker mix every 8 bytes and prints the answer in hexadecimal,"
     " \":spin US\" takes so many microseconds, \":fail CODE\" fails, \":status\" says what the service is doing, \":metrics\" prints"
     " what was counted in Prometheus' text format.  Two colons stand for one at the beginning of a message.\n\n"
     "With a graph each line is an instance of it: the numbers are what the buffers of --in hold, the answer is what those of --out hold"
     " afterwards.  Its kernels need resident variants, as with run --executor resident.",
     "printf '%s\\n' hello world | tgraph serve --metrics  # two messages, and what they cost\n"
     "echo :metrics | tgraph serve  # for Prometheus\n"
     "echo 1 2 3 4 | tgraph serve graph.json --in x --out y  # one instance of a graph",
     serve_options, false},
    {"top", tgi_cli_top, "", NULL, 0, 0, "watch the services of this user",
     "Shows what services do that stay on GPUs, those of tgraph serve and of programs that call tg_service_show(): process, device and"
     " state; messages a second and within how many microseconds half, 90 % and 99 % of them were answered, in the last interval; messages"
     " under way beside the places of the queue, instances that wait and that run; and each client's part of the workers' time.  With"
     " --format json it prints one interval, as with --once.\n\n"
     "Services show themselves in a folder of the user's alone, $XDG_RUNTIME_DIR/tgraph, else /tmp/tgraph-UID.  What processes leave"
     " there that were killed is removed.",
     "tgraph top  # until it is interrupted\n"
     "tgraph top --once --format json  # for programs",
     top_options, false},
    {"devices", tgi_cli_devices, "", NULL, 0, 0, "show the processors that graphs can run on",
     "Prints what this process may use: packages, NUMA nodes, caches, cores and hardware threads; CUDA devices with"
     " compute capability, multiprocessors, memory and NUMA node, and how they reach each other: directly over NVLink"
     " or PCIe, or, where it says none, through the host.",
     "tgraph devices --tree  # drawn as a tree\n"
     "tgraph devices --matrix -o machine.json  # measured, and kept",
     devices_options, false},
    {"doctor", tgi_cli_doctor, "", NULL, 0, 0, "test whether this environment is fit",
     "Tries what tgraph relies on: the compiler, the cache folder, binding threads to cores, BLAS, Graphviz,"
     " memory, and for GPUs the driver, the kernels of this build, NVRTC, cuBLAS, cuSOLVER and NCCL.  Every line says ok, warn or fail and what to do about it.",
     NULL, no_options, false},
    {"explain", tgi_cli_explain, "[CODE..]", NULL, 0, MANY, "explain a diagnostic at length",
     "Prints what a code such as TG0203 means, an example and the usual fix.",
     "tgraph explain TG0203  # or 203, or unknown-kernel\n"
     "tgraph explain --list  # all codes, a line each",
     explain_options, false},
    {"report", tgi_cli_report, "RECORD..", NULL, 1, MANY, "summarise records of runs",
     "Prints what a record that run --record wrote says: makespan and bounds, and tables by kernel, by device and lane, of the"
     " tasks that took longest, of what was moved between memories.",
     "tgraph report run.tgr  # where the time went\n"
     "tgraph report run.tgr --by task --top 20  # the longest tasks, with their slack\n"
     "tgraph report run.tgr --html run.html  # all of it, for a browser",
     report_options, false},
    {"why", tgi_cli_why, "RECORD TASK", NULL, 2, 2, "say why a task started when it did",
     "Says when a task became ready and by whose end, what its lane did until it started, how long it took beside the others"
     " of its kernel, and its slack: how much later it could have ended without making the longest path longer.\n\n"
     "A task of a body is called by its control task, round and name, as in 'loop:2/step'; a task without a name as '#17'.",
     "tgraph why run.tgr 'gemm[5,4,3]'  # one task\n"
     "tgraph why run.tgr 'gemm[5,4,3]' --chain  # and what led to it",
     why_options, false},
    {"diff", tgi_cli_diff, "A B", NULL, 2, 2, "compare two records, or two graphs",
     "Of two records: makespan, each kernel's median, and the tasks that changed most, by name.  Of two graph files: tasks, edges"
     " and buffers that were added, removed or changed.",
     "tgraph diff before.tgr after.tgr --threshold 5% --fail-on slower  # in continuous integration\n"
     "tgraph diff old.json new.json  # what was changed in a graph",
     diff_options, false},
    {"schema", tgi_cli_schema, "", NULL, 0, 0, "print the JSON Schema of graph files",
     "Editors that know the schema complete and check graph files while they are being written.",
     "tgraph schema > tgraph.schema.json  # for an editor",
     no_options, false},
    {"cache", tgi_cli_cache, "[ACTION]", "list|clear", 0, 1, "list or clear the cache of compiled kernels and their times",
     "Kernels given as C source are compiled once and kept in $TGRAPH_CACHE_DIR, else $XDG_CACHE_HOME/tgraph,"
     " else ~/.cache/tgraph.  Beside them is how long kernels took on each machine, by which later runs choose variants and"
     " devices; -v lists this machine's.",
     "tgraph cache  # what is there\n"
     "tgraph cache -v  # with each file and each time\n"
     "tgraph cache clear  # remove it",
     no_options, false},
    {"completion", tgi_cli_completion, "SHELL", "bash|zsh|fish", 1, 1, "print completion code for a shell",
     "Prints code that teaches a shell the commands and options.",
     "tgraph completion bash > ~/.local/share/bash-completion/completions/tgraph  # for bash\n"
     "tgraph completion zsh > ~/.zfunc/_tgraph  # for zsh, with ~/.zfunc in fpath\n"
     "tgraph completion fish > ~/.config/fish/completions/tgraph.fish  # for fish",
     no_options, false},
    {"help", tgi_cli_help, "[COMMAND]", NULL, 0, 1, "print help", NULL, NULL, help_options, false},
    {NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, false}
};

const struct tgi_cli_command *tgi_cli_find(const char *name)
{
    for (const struct tgi_cli_command *c = tgi_cli_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}
