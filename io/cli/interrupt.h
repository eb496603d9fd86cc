/* Signals. */
#ifndef TGI_IO_CLI_INTERRUPT_H
#define TGI_IO_CLI_INTERRUPT_H

/* SIGINT and SIGTERM end the program, after removing unfinished files, unless a run is watched
 * (tgi_cli_watch).  SIGPIPE is ignored: writes fail instead. */
void tgi_cli_install_signals(void);

#endif
