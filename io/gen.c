/* Documents; lines are in gen_lines.c. */
#include "io/gen.h"

#include "io/fmt.h"
#include "io/gen_lines.h"
#include "io/gen_parts.h"

/* Statements [first, end), which are of equal depth or below.  Recursion is as deep as the loops of
 * the tables above, at most TGI_GEN_MAX_LOOPS. */
static void add_template(struct tgi_text *out, const struct tgi_gen_plan *plan, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end;) {
        const struct tgi_gen_statement *s = &plan->statements[i];
        tgi_text_str(out, i > first ? ",{" : "{");
        uint32_t after = s->variable ? tgi_gen_end_of(plan, i) : i + 1;
        if (s->variable) {
            tgi_text_printf(out, "\"for\":[\"%s in %s:%s\"", s->variable, s->from, s->to);
            /* Loops that contain nothing but a loop share one list; a task alone takes it over. */
            uint32_t inner = i + 1;
            while (plan->statements[inner].variable && tgi_gen_end_of(plan, inner) == after) {
                const struct tgi_gen_statement *l = &plan->statements[inner++];
                tgi_text_printf(out, ",\"%s in %s:%s\"", l->variable, l->from, l->to);
            }
            tgi_text_str(out, "],");
            if (inner + 1 == after) {
                tgi_gen_add_task_members(out, plan, &plan->statements[inner]);
            } else {
                tgi_text_str(out, "\"do\":[");
                add_template(out, plan, inner, after);
                tgi_text_str(out, "]");
            }
        } else {
            tgi_gen_add_task_members(out, plan, s);
        }
        tgi_text_str(out, "}");
        i = after;
    }
}

static int write_document(FILE *to, const struct tgi_gen_plan *plan, struct tg_error *err)
{
    struct tgi_text out = {0};
    tgi_text_str(&out, "{\"tgraph\":\"1.0\"");
    tgi_gen_add_title(&out, plan);
    tgi_text_printf(&out, ",\"buffers\":{\"%s\":{", plan->is_factorisation ? "A" : "x");
    tgi_gen_add_buffer(&out, plan);
    tgi_text_str(&out, "}},\"kernels\":{");
    /* Every kernel ends with a comma; the last one is taken back. */
    tgi_gen_add_kernels(&out, plan, "\"%s\":{", "},");
    if (out.size > 0)
        out.size--;
    tgi_text_str(&out, "},\"tasks\":[");
    if (plan->is_random)
        tgi_gen_add_random_tasks(&out, plan, "{", "}", ",");
    else
        add_template(&out, plan, 0, plan->n_statements);
    tgi_text_str(&out, "]");
    if (plan->is_factorisation)
        tgi_text_printf(&out,
                        ",\"checks\":[{\"buffer\":\"A\",\"residual\":{\"method\":\"%s\",\"max\":1e-12}}]",
                        plan->options->pattern);
    tgi_text_str(&out, "}");
    int status = tgi_text_finish(&out, err);
    if (status == TG_OK)
        status = tgi_fmt_write(to, TGI_FMT_DOCUMENT, out.data, out.size, plan->options->pattern, err);
    tgi_text_fini(&out);
    return status;
}

int tgi_gen_write(FILE *to, const struct tgi_gen_options *options, struct tg_error *err)
{
    struct tgi_gen_plan plan;
    int status = tgi_gen_plan_make(&plan, options, err);
    if (status == TG_OK)
        status = options->is_lines ? tgi_gen_write_lines(to, &plan, err) : write_document(to, &plan, err);
    tgi_gen_plan_fini(&plan);
    return status;
}
