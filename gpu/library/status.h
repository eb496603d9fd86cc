/* What the functions of the device library answer.  0 is good; nothing here traps or ends a kernel. */
#ifndef TGD_STATUS_H
#define TGD_STATUS_H

enum tgd_status {
    TGD_OK = 0,
    TGD_E_INVALID = -1,   /* an argument that cannot be meant: a size of 0, a capacity that is no power of two, a foreign address */
    TGD_E_NO_MEMORY = -2, /* none of that size was to be found; the statistics count it */
    TGD_E_FULL = -3,      /* no room at this moment */
    TGD_E_EMPTY = -4,     /* nothing there at this moment */
    TGD_E_TIMEOUT = -5,   /* a wait has lasted longer than its limit */
    TGD_E_ABORTED = -6    /* the abort word was set while it waited */
};

#endif
