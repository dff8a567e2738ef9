# cmake -DOUTPUT=x.cpp -DSYMBOL=name -DTYPE=spirv|text "-DFILES=a;b" -P embed.cmake: files as arrays inside one C++ source, with a table
# of them named SYMBOL, in the order of their names. src/vulkan/embedded.hpp declares the tables.
list(SORT FILES)
set(arrays "")
set(rows "")
foreach(file IN LISTS FILES)
  get_filename_component(stem ${file} NAME_WE)
  string(MAKE_C_IDENTIFIER ${stem} id)
  file(READ ${file} hex HEX)
  if(TYPE STREQUAL spirv) # little-endian words, as the shader compiler writes them
    string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1," values "${hex}")
    string(APPEND arrays "const std::uint32_t ${id}[] = {${values}};\n")
    string(APPEND rows "    {\"${stem}\", ${id}, sizeof ${id}},\n")
  else()
    string(REGEX REPLACE "(..)" "0x\\1," values "${hex}")
    string(APPEND arrays "const unsigned char ${id}[] = {${values}0};\n")
    string(APPEND rows "    {\"${stem}\", ${id}, sizeof ${id} - 1},\n")
  endif()
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/embed.cmake.\n#include \"vulkan/embedded.hpp\"\n\nnamespace {\n${arrays}}  // namespace\n
namespace aule::vulkan {\nnamespace {\nconst EmbeddedFile kFiles[] = {\n${rows}};\n}  // namespace\nstd::span<const EmbeddedFile> ${SYMBOL}() { return kFiles; }\n}  // namespace aule::vulkan\n")
