/* The kernel of a service whose programs' tasks are bodies.  It is generated (gpu/executor.h): who includes this has the bodies and defines
 * the lists of gpu/resident/call.cuh, and
 *
 *   TGI_SERVICE_BLOCK_WARPS   warps of a block, the service's own among them: the fewer there are, the more registers has each
 *   TGI_KEEPS                 if instances can be kept: each task looks once more then, whether its is to be */
#include "mem/service_view.h"

#define TGI_CALL_WARPS TGI_SERVICE_BLOCK_WARPS
#include "gpu/resident/call.cuh"

#ifdef TGI_KEEPS
#define TGI_SERVICE_KERNEL tgk_service_keeping
#else
#define TGI_SERVICE_KERNEL tgk_service_bodies
#endif
#include "gpu/service/service.cu"
