# Device code of the HIP back end: compiled by a plain clang (19 or newer, with lld) for each architecture, without ROCm
# and without HIP's headers. Debian: apt-get install clang-19 lld-19.
#
# aule_hip_code_objects builds <build>/hip/<kernel>.<type>.<head sizes>.<architecture>.co
option(AULE_HIP "Compile the HIP kernels (needs clang 19 or newer and lld)" OFF)
set(AULE_HIP_TARGETS gfx90a gfx942 gfx1030 gfx1100 gfx1101 gfx1102 gfx1103 gfx1150 gfx1151 gfx1200 gfx1201
    CACHE STRING "AMD architectures to compile for")
set(AULE_HIP_HEAD_DIMS 32,32 64,64 96,96 128,128 192,128 256,256 576,512
    CACHE STRING "Padded head sizes, head_dim_qk,head_dim_v")
if(NOT AULE_HIP)
  return()
endif()

find_program(AULE_HIP_CLANG NAMES clang-19 clang-20 clang-21 clang DOC "Compiler of the HIP kernels")
if(NOT AULE_HIP_CLANG)
  message(FATAL_ERROR "AULE_HIP is on, but no clang was found. Install clang 19 or newer with lld (Debian: clang-19 "
                      "lld-19), set AULE_HIP_CLANG, or configure with -DAULE_HIP=OFF.")
endif()
set(aule_hip_flags -x hip -std=c++20 --cuda-device-only -nogpuinc -nogpulib --no-gpu-bundle-output -O3
    -I${PROJECT_SOURCE_DIR}/src)
# Fails here, and not in the middle of a build, where the compiler has no AMDGPU target or no linker for it.
set(aule_hip_probe ${PROJECT_BINARY_DIR}/hip/probe.hip)
file(WRITE ${aule_hip_probe} "extern \"C\" __attribute__((global)) void probe() {}\n")
execute_process(COMMAND ${AULE_HIP_CLANG} ${aule_hip_flags} --offload-arch=gfx942 ${aule_hip_probe} -o ${aule_hip_probe}.co
                RESULT_VARIABLE aule_hip_failed ERROR_VARIABLE aule_hip_error)
if(aule_hip_failed)
  message(FATAL_ERROR "${AULE_HIP_CLANG} does not compile for gfx942 (lld-19 installed?):\n${aule_hip_error}")
endif()

file(GLOB aule_hip_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/hip/kernels/*.h
     ${PROJECT_SOURCE_DIR}/src/kernels/*.h)
set(AULE_HIP_CODE_OBJECTS "")

# aule_hip_code_object(kernel element target name [definitions...])
function(aule_hip_code_object kernel element target name)
  set(output ${PROJECT_BINARY_DIR}/hip/${name}.${target}.co)
  set(source ${PROJECT_SOURCE_DIR}/src/hip/kernels/${kernel}.hip)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${AULE_HIP_CLANG} ${aule_hip_flags} --offload-arch=${target} -DAULE_ELEMENT=${element} ${ARGN} ${source} -o ${output}
    DEPENDS ${source} ${aule_hip_headers}
    COMMENT "HIP ${name} for ${target}" VERBATIM)
  set(AULE_HIP_CODE_OBJECTS ${AULE_HIP_CODE_OBJECTS} ${output} PARENT_SCOPE)
endfunction()

foreach(target IN LISTS AULE_HIP_TARGETS)
  foreach(element half bfloat float)
    aule_hip_code_object(attention_combine ${element} ${target} combine.${element})
    aule_hip_code_object(attention_delta ${element} ${target} delta.${element})
    foreach(pair IN LISTS AULE_HIP_HEAD_DIMS)
      string(REPLACE "," ";" sizes ${pair})
      list(GET sizes 0 head_dim_qk)
      list(GET sizes 1 head_dim_v)
      set(definitions -DAULE_HEAD_DIM_QK=${head_dim_qk} -DAULE_HEAD_DIM_V=${head_dim_v})
      set(suffix ${element}.${head_dim_qk}x${head_dim_v})
      aule_hip_code_object(attention_forward ${element} ${target} forward.${suffix} ${definitions})
      if(head_dim_qk LESS_EQUAL 256)
        aule_hip_code_object(attention_backward ${element} ${target} backward.${suffix} ${definitions})
      endif()
    endforeach()
  endforeach()
endforeach()
add_custom_target(aule_hip_code_objects DEPENDS ${AULE_HIP_CODE_OBJECTS})
