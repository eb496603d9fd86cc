/* y[i] += a * x[i], once for each form of compiled code that a graph can name. */
static __device__ void add(int n, float a, const float *x, float *y)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] += a * x[i];
}

extern "C" __global__ void add_cubin(int n, float a, const float *x, float *y) { add(n, a, x, y); }
extern "C" __global__ void add_fatbin(int n, float a, const float *x, float *y) { add(n, a, x, y); }
