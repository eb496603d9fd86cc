/* What a test takes for granted: a call that fails ends the test with what it has said in `err`, which the caller has. */
#ifndef TEST_MUST_H
#define TEST_MUST_H

#define MUST(call) \
    do { \
        if ((call) != 0) \
            fail_msg("%s: %s", #call, err.text); \
    } while (0)

#endif
