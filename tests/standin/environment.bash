# Makes programs find the stand-ins for the driver, NVRTC and NCCL: sourced after $tgraph and $scratch are set.
libraries=$(dirname "$tgraph")/tests
[ -e "$libraries/libstandin-cuda.so" ] || { echo "there is no stand-in driver beside $tgraph"; exit 1; }
unset TGRAPH_DEVICES
export TGRAPH_CACHE_DIR=$scratch/cache TGRAPH_CUDA_DRIVER=$libraries/libstandin-cuda.so \
    TGRAPH_CUDA_KERNELS=$libraries/standin-kernels.txt TGRAPH_NVRTC=$libraries/libstandin-nvrtc.so \
    TGRAPH_NCCL=$libraries/libstandin-nccl.so TGRAPH_BLAS=off TGRAPH_RESIDENT_KERNEL=embedded TGRAPH_HISTORY=off TGRAPH_STANDIN_MEMORY=1G \
    TGRAPH_STANDIN_REPORT=$scratch/report
