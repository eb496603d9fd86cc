/* Files that a benchmark needs while it runs, in a folder of its own in $TMPDIR, or /tmp.  It is made when it is first asked for, and
 * removed with all that is in it when the program exits, also by bench_die(); not when it is killed. */
#ifndef BENCH_SCRATCH_H
#define BENCH_SCRATCH_H

/* Where a file of that name would be there, until the program exits. */
const char *bench_scratch_path(const char *name);
/* Writes the text to it. */
const char *bench_scratch_file(const char *name, const char *text);

#endif
