# aule_add_shaders(TARGET): compiles src/vulkan/shaders/*.comp, each for every element type, checks them with spirv-val and embeds
# them and the recorded device profiles in TARGET. Matrix units take 16-bit operands: their kernels (*_mma*) and their probe have no
# fp32 variant.
#
# The compiler is glslc from AULE_VULKAN_TOOLCHAIN (a folder that scripts/setup-vulkan filled), its default place, or PATH. It must
# know GL_KHR_cooperative_matrix and GL_EXT_bfloat16. Without one AULE_VULKAN becomes OFF, with a message.
set(AULE_VULKAN_TOOLCHAIN "$ENV{AULE_VULKAN_TOOLCHAIN}" CACHE PATH "Folder with bin/glslc, as scripts/setup-vulkan makes it")
set(vulkan_toolchains ${AULE_VULKAN_TOOLCHAIN} $ENV{XDG_CACHE_HOME}/aule-attention/vulkan $ENV{HOME}/.cache/aule-attention/vulkan)
list(TRANSFORM vulkan_toolchains APPEND /bin)
if(NOT "${AULE_GLSLC}" STREQUAL "NOTFOUND")  # -DAULE_GLSLC=NOTFOUND: as if there were none
  find_program(AULE_GLSLC glslc HINTS ${vulkan_toolchains})
endif()
find_program(AULE_SPIRV_VAL spirv-val HINTS ${vulkan_toolchains})

# Sets `result` to ON where the compiler knows every extension that the shaders use.
function(aule_check_glslc result)
  set(probe ${PROJECT_BINARY_DIR}/shaders/probe.comp)
  file(WRITE ${probe} "#version 450
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_bfloat16 : require
#extension GL_KHR_memory_scope_semantics : require
layout(local_size_x = 32) in;
void main() {}
")
  execute_process(COMMAND ${AULE_GLSLC} --target-env=vulkan1.2 -o ${probe}.spv ${probe} RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE text)
  if(status EQUAL 0)
    set(${result} ON PARENT_SCOPE)
  else()
    message(STATUS "${AULE_GLSLC} is too old for the shaders: ${text}")
    set(${result} OFF PARENT_SCOPE)
  endif()
endfunction()

if(AULE_VULKAN AND AULE_GLSLC)
  aule_check_glslc(AULE_VULKAN_COMPILER)
endif()
if(AULE_VULKAN AND NOT AULE_VULKAN_COMPILER)
  message(WARNING "No shader compiler for the Vulkan back end: this library will run on the CPU only. "
    "Run scripts/setup-vulkan, or put a glslc of 2025.4 or newer on PATH (or set AULE_VULKAN_TOOLCHAIN); -DAULE_VULKAN=OFF silences this.")
  set(AULE_VULKAN OFF)
endif()

function(aule_add_shaders target)
  file(GLOB shaders CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/vulkan/shaders/*.comp)
  file(GLOB profiles CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/vulkan/profiles/*.json)
  set(out ${PROJECT_BINARY_DIR}/shaders)
  file(MAKE_DIRECTORY ${out})
  set(modules "")
  foreach(shader IN LISTS shaders)
    get_filename_component(stem ${shader} NAME_WE)
    if(stem MATCHES "_software$" AND NOT AULE_BUILD_TESTS)
      continue()  # a matrix unit in GLSL, which proves kernels whose own units are not here
    endif()
    foreach(element IN ITEMS F32 F16 BF16)
      if(element STREQUAL F32 AND stem MATCHES "_mma|_lane_map_probe$")
        continue()
      endif()
      string(TOLOWER ${stem}_${element} name)
      set(module ${out}/${name}.spv)
      set(check COMMAND ${CMAKE_COMMAND} -E true)
      if(AULE_SPIRV_VAL)
        set(check COMMAND ${AULE_SPIRV_VAL} --target-env vulkan1.2 ${module})
      endif()
      add_custom_command(OUTPUT ${module}
        COMMAND ${AULE_GLSLC} --target-env=vulkan1.2 -O -Werror -DELEMENT_${element} -I ${PROJECT_SOURCE_DIR}/src
          -MD -MF ${module}.d -o ${module} ${shader}
        ${check}
        DEPENDS ${shader} DEPFILE ${module}.d COMMENT "Shader ${name}" VERBATIM)
      list(APPEND modules ${module})
    endforeach()
  endforeach()
  foreach(symbol IN ITEMS shader_modules device_profiles)
    set(files ${modules})
    if(symbol STREQUAL device_profiles)
      set(files ${profiles})
    endif()
    add_custom_command(OUTPUT ${out}/${symbol}.cpp
      COMMAND ${CMAKE_COMMAND} -DOUTPUT=${out}/${symbol}.cpp -DSYMBOL=${symbol} "-DFILES=${files}"
        -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
      DEPENDS ${files} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake COMMENT "Embedding ${symbol}" VERBATIM)
    target_sources(${target} PRIVATE ${out}/${symbol}.cpp)
  endforeach()
endfunction()
