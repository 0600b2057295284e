mod linux;
