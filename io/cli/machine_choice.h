/* Machines that commands plan for, predict with and measure. */
#ifndef TGI_IO_CLI_MACHINE_CHOICE_H
#define TGI_IO_CLI_MACHINE_CHOICE_H

#include "io/cli/cli.h"
#include "io/cli/device_choice.h"
#include "sched/calibrate.h"

/* What --machine names, else this machine with rough figures. */
int tgi_cli_machine(const struct tgi_cli *cli, struct tgi_machine *m, struct tg_error *err);

/* How to measure on the devices that are asked for, or on all there are; text, of TGI_CALIBRATION_TEXT bytes, must outlive it. */
enum { TGI_CALIBRATION_TEXT = 160 };
void tgi_cli_calibration(const struct tgi_cli *cli, const struct tgi_device_choice *devices, struct tgi_calibration *c, char *text);
/* A machine file that was measured on this machine, finished.  TG_E_BAD_VALUE: it was not, with what differs. */
int tgi_cli_measured_machine(const char *path, struct tgi_machine *m, struct tg_error *err);

#endif
