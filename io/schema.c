#include "io/schema.h"

#include "graph/file_text.h"

TGI_FILE_TEXT(tgi_schema_text, "io/schema.json");
