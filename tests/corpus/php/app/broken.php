<?php
echo "unfinished" . ;
