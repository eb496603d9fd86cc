/* tgraph schema: for editors. */
#include "io/cli/cli.h"

#include "io/schema.h"

int tgi_cli_schema(struct tgi_cli *cli)
{
    (void)cli;
    fputs(tgi_schema_text, stdout);
    return TGI_EXIT_OK;
}
