/* Making and changing a space; model.h has what readers need. */
#ifndef TGI_GRAPH_SPACE_H
#define TGI_GRAPH_SPACE_H

#include "graph/model.h"

struct tgi_space *tgi_space_create(void);
void tgi_space_destroy(struct tgi_space *space);
tg_buffer_id tgi_space_find_buffer(const struct tgi_space *space, const char *name);
/* *range_p becomes what goes into an argument word: 1 + index. */
int tgi_space_add_range(struct tgi_space *space, uint32_t begin, uint32_t end, uint32_t *range_p,
                        struct tg_error *err);
/* Elements that an argument word stands for; b: the buffer that it is in. */
uint64_t tgi_space_word_elems(const struct tgi_space *space, const struct tgi_buffer *b, uint64_t word);
/* "A[3,2]"; returns the length it has or would have. */
size_t tgi_buffer_format_tile(const struct tgi_buffer *b, uint32_t index, char *text, size_t size);
/* 1 to 256 bytes, none of them a control character. */
bool tgi_name_is_valid(const char *name);

#endif
